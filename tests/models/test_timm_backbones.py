"""Networks of timm by name: tags, published files, and the messages about them."""

from __future__ import annotations

import pytest
import timm

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.timm_backbones import check_tag, known_backbone, published_by_timm
from lungseg.models.weights import Published


@pytest.mark.parametrize("name", ["resnet34", "resnet34.tv_in1k"])
def test_a_name_with_or_without_its_tag_is_known(name):
    assert known_backbone(name) == name


def test_the_published_file_is_that_of_the_tag():
    assert published_by_timm("resnet34.tv_in1k", "k") == Published("timm/resnet34.tv_in1k")
    assert published_by_timm("resnet34", "k").repo.startswith("timm/resnet34.")


def test_a_wrong_tag_is_refused_by_the_name_of_the_config():
    with pytest.raises(ConfigError, match=r"model\.encoder=x: .*tag tv_in2k; did you mean tu-resnet34\.tv_in1k\?"):
        check_tag("resnet34.tv_in2k", "model.encoder=x", "tu-")


def test_weights_that_nobody_published_are_refused_with_what_to_set():
    name = next(n for n in timm.list_models() if not timm.list_pretrained(n) and not n.startswith("test_"))
    with pytest.raises(ConfigError, match=r"no published ImageNet weights of k=x\. Set model\.weights=/p"):
        published_by_timm(name, "k=x")


def test_weights_elsewhere_than_on_the_hub_are_named_with_their_address(monkeypatch):
    class Config:
        hf_hub_id, url = None, "https://somewhere.org/net.pth"

    monkeypatch.setattr(timm.models, "get_pretrained_cfg", lambda name: Config)
    with pytest.raises(ResourceError, match=r"Fetch https://somewhere\.org/net\.pth and set model\.weights=/path/to"):
        published_by_timm("x", "model.backbone=x")
