"""Weights from files and from the hub's cache: what is read, what is refused, and what the messages say."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.weights import (
    Download,
    Published,
    Weights,
    fetch,
    fit_input,
    load_weights,
    read_weights,
    share_out,
)

TENSORS = {"conv.weight": torch.arange(4.0).view(1, 4, 1, 1), "conv.bias": torch.ones(1)}
REPO = Published("someone/some_net", "abc123")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


def put(cache: Path, published: Published, tensors: dict[str, torch.Tensor]) -> Path:
    """Lay a file where the hub's client would have put it."""
    folder = cache / f"models--{published.repo.replace('/', '--')}" / "snapshots" / str(published.revision)
    folder.mkdir(parents=True)
    save_file(tensors, folder / published.name)
    return folder / published.name


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(TENSORS, id="state-dict"),
        pytest.param({"state_dict": TENSORS, "epoch": 3}, id="training-checkpoint"),
        pytest.param({"model": TENSORS}, id="model-inside"),
        pytest.param({f"module.{k}": v for k, v in TENSORS.items()}, id="data-parallel"),
        pytest.param(
            {"state_dict": {**{f"model.encoder.{k}": v for k, v in TENSORS.items()}, "model.head": torch.ones(2)}},
            id="encoder-in-a-checkpoint-of-lungseg",
        ),
        pytest.param({**TENSORS, "epoch": 3}, id="numbers-beside-tensors"),
    ],
)
def test_tensors_are_found_in_what_holds_them(tmp_path, content):
    torch.save(content, tmp_path / "file.pth")
    assert same(read_weights(str(tmp_path / "file.pth"), None).tensors)


def test_safetensors_are_read(tmp_path):
    save_file(TENSORS, tmp_path / "file.safetensors")
    assert same(read_weights(str(tmp_path / "file.safetensors"), None).tensors)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(TENSORS, tmp_path / "file.pth")
    assert same(read_weights("~/file.pth", None).tensors)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fil.pth", r"model\.weights=.*fil\.pth does not exist; did you mean .*/file\.pth\?"),
        ("other.bin", r"model\.weights=.*other\.bin does not exist\. Give imagenet, the path of a file, or null"),
        ("", r"model\.weights=.* is a folder\. Give imagenet"),
    ],
    ids=["near", "far", "folder"],
)
def test_a_path_without_a_file_is_refused(tmp_path, name, message):
    torch.save(TENSORS, tmp_path / "file.pth")
    with pytest.raises(ConfigError, match=message):
        read_weights(str(tmp_path / name), None)


def test_a_run_folder_is_refused_with_the_file_in_it(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    torch.save(TENSORS, tmp_path / "run/checkpoints/best.ckpt")
    with pytest.raises(ConfigError, match=r"run is a folder; did you mean .*run/checkpoints/best\.ckpt\?"):
        read_weights(str(tmp_path / "run"), None)


def test_a_mistyped_imagenet_is_recognised():
    with pytest.raises(ConfigError, match=r"model\.weights=imagnet does not exist; did you mean imagenet\?"):
        read_weights("imagnet", None)


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_file_that_would_run_code_is_not_loaded(tmp_path, capsys):
    torch.save({"state_dict": Evil()}, tmp_path / "file.pth")
    with pytest.raises(ConfigError, match=r"file\.pth holds more than tensors"):
        read_weights(str(tmp_path / "file.pth"), None)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["file.pth", "file.safetensors"])
def test_a_damaged_file_is_named(tmp_path, name):
    torch.save(TENSORS, tmp_path / "whole.pth")
    (tmp_path / name).write_bytes((tmp_path / "whole.pth").read_bytes()[:300])
    with pytest.raises(ConfigError, match=rf"model\.weights: .*{name}"):
        read_weights(str(tmp_path / name), None)


@pytest.mark.parametrize("content", [{}, {"epoch": 1}, [torch.ones(1)], torch.ones(2)], ids=str)
def test_a_file_without_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(ConfigError, match=r"holds no tensors by name"):
        read_weights(str(tmp_path / "file.pth"), None)


def test_published_weights_are_taken_from_the_cache(cache):
    put(cache, REPO, TENSORS)
    found = read_weights("imagenet", REPO)
    assert same(found.tensors)
    assert found.origin == "model.weights=imagenet"


def test_offline_the_message_says_which_file_and_where_to_put_it(cache):
    with pytest.raises(ResourceError) as error:
        fetch(REPO)
    text = str(error.value)
    assert "model.safetensors of someone/some_net" in text
    assert f"not in {cache}" in text
    assert "HF_HUB_OFFLINE is set" in text
    assert f"copy the folder models--someone--some_net into {cache}" in text
    assert "hf download someone/some_net model.safetensors --revision abc123" in text
    assert "model.weights=/path/to/model.safetensors" in text


def test_a_hub_that_cannot_be_reached_is_given_up_at_once(cache, monkeypatch):
    # port 9 of this machine: nothing listens there, so the connection is refused without a network
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request.getproxies", dict)
    start = time.monotonic()
    with pytest.raises(ResourceError, match=r"127\.0\.0\.1 cannot be reached"):
        fetch(REPO)
    assert time.monotonic() - start < 2  # the client alone tries for 23 s


def test_a_refusal_of_the_hub_is_told(cache, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise RuntimeError("401 Client Error.\nmore lines")

    monkeypatch.setattr("lungseg.models.weights._unreachable", lambda place: None)
    monkeypatch.setattr("lungseg.models.weights.hf_hub_download", refuse)
    with pytest.raises(ResourceError, match=r"cannot be fetched: 401 Client Error\. Where"):
        fetch(REPO)


@pytest.fixture
def torch_cache(cache, tmp_path, monkeypatch) -> Path:
    """The empty folder of what torch fetches."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    return tmp_path / "torch" / "checkpoints"


def address_of(file: Path, digits: str | None = None) -> Download:
    """An address on this machine, which ends in the file's name with the first digits of its sum."""
    digits = digits or hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    return Download(file.rename(file.with_name(f"net-{digits}.pth")).as_uri())


def test_a_file_at_an_address_is_fetched_once_into_torchs_cache(tmp_path, torch_cache, monkeypatch):
    torch.save(TENSORS, tmp_path / "net.pth")
    published = address_of(tmp_path / "net.pth")
    monkeypatch.setattr("lungseg.models.weights._unreachable", lambda place: None)
    assert same(read_weights("imagenet", published).tensors)
    (tmp_path / published.name).unlink()
    assert fetch(published) == torch_cache / published.name
    assert same(read_weights("imagenet", published).tensors)


def test_a_fetched_file_that_is_another_than_its_name_says_is_not_kept(tmp_path, torch_cache, monkeypatch):
    torch.save(TENSORS, tmp_path / "net.pth")
    published = address_of(tmp_path / "net.pth", digits="01234567")
    monkeypatch.setattr("lungseg.models.weights._unreachable", lambda place: None)
    with pytest.raises(ResourceError, match=r"net-01234567\.pth.*cannot be fetched: invalid hash value"):
        fetch(published)
    assert list(torch_cache.iterdir()) == []


def test_offline_a_file_at_an_address_is_named_with_where_to_put_it(torch_cache):
    with pytest.raises(ResourceError) as error:
        fetch(Download("https://somewhere.org/models/net-abc.pth"))
    assert str(error.value) == (
        f"model.weights=imagenet needs the file net-abc.pth, which is not in {torch_cache} and cannot be fetched: "
        "HF_HUB_OFFLINE is set. Where there is a network, fetch https://somewhere.org/models/net-abc.pth and copy it "
        f"into {torch_cache}; or set model.weights=/path/to/net-abc.pth"
    )


def test_imagenet_without_published_weights_is_refused():
    with pytest.raises(ConfigError, match=r"model\.weights=imagenet, but nobody has published"):
        read_weights("imagenet", None)


def test_filters_for_rgb_give_the_same_on_grey():
    # a convolution of three equal planes is the convolution of one with the summed filters
    rgb = torch.randn(5, 3, 3, 3)
    grey = torch.randn(2, 1, 8, 8)
    expected = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), rgb)
    for channels in (1, 2, 6):
        fitted = fit_input({"w": rgb}, "w", channels)["w"]
        assert fitted.shape == (5, channels, 3, 3)
        if channels != 2:  # two of three filters do not make the same sum
            torch.testing.assert_close(nn.functional.conv2d(grey.expand(-1, channels, -1, -1), fitted), expected)


@pytest.mark.parametrize("own", [1, 3, 4], ids=["grey-file", "same-channels", "four-channels"])
def test_filters_that_have_the_channels_stay(own):
    tensors = {"w": torch.randn(5, own, 3, 3)}
    assert fit_input(tensors, "w", own) is tensors


def test_fitting_leaves_the_tensors_of_the_file_alone():
    tensors = {"w": torch.ones(5, 3, 1, 1)}
    fit_input(tensors, "w", 1)
    assert tensors["w"].shape == (5, 3, 1, 1)


def test_what_a_module_has_no_place_for_is_left_out():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    given = {name: torch.full_like(value, 2) for name, value in net.state_dict().items()}
    del given["1.num_batches_tracked"]  # older files have no such counter
    load_weights(net, Weights("model.weights=x", {**given, "classifier.weight": torch.ones(3)}), advice="")
    assert all(bool((value == 2).all()) for name, value in net.state_dict().items() if "num_batches" not in name)


def test_missing_and_misshapen_tensors_are_named_with_what_to_set():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 3, 1))
    given = {"0.weight": torch.ones(4, 1, 1, 1), "0.bias": torch.ones(2), "1.weight": torch.ones(3, 2, 1, 1)}
    with pytest.raises(ConfigError) as error:
        load_weights(net, Weights("model.weights=x.pth", given), advice="Set model.alpha to its width")
    assert str(error.value) == (
        "model.weights=x.pth does not fit the network. 1 of 4 tensors have other shapes: 0.weight is (4, 1, 1, 1), the "
        "network wants (2, 1, 1, 1); 1 of 4 tensors are not in it: 1.bias. Set model.alpha to its width"
    )


def test_tensors_of_a_foreign_network_show_their_names():
    with pytest.raises(ConfigError, match=r"2 of 2 tensors are not in it: weight, bias; its own begin with a, b\. "):
        load_weights(nn.Conv2d(1, 1, 1), Weights("w", {"a": torch.ones(1), "b": torch.ones(1)}), advice="")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, {}),
        ("imagenet", {"one": "imagenet", "other": "imagenet"}),
        ({"one": "/a"}, {"one": "/a"}),
        ({"one": "imagenet", "other": None}, {"one": "imagenet"}),
    ],
    ids=["none", "imagenet", "one", "null"],
)
def test_weights_are_shared_out_by_name(weights, expected):
    assert share_out(weights, ["one", "other"]) == expected


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            "/a",
            r"model\.weights=/a is one file for one and other\. Give imagenet, null, or \{one: /path/to/file, other",
        ),
        ({"onee": "/a"}, r"model\.weights\.onee: there is no such network here; did you mean one\?"),
        ({"xyz": "/a"}, r"model\.weights\.xyz: .*there are one and other"),
    ],
    ids=["one-file", "near", "far"],
)
def test_weights_for_nobody_are_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        share_out(weights, ["one", "other"])
