"""Names of encoders, which of them can be dilated, and where their weights are published."""

from __future__ import annotations

import pytest
from segmentation_models_pytorch.encoders import encoders as native

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.smp_encoders import can_dilate, known_name, published


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        ("resnet34", "resnet34"),
        ("tu-resnet34", "tu-resnet34"),
        ("tu-resnet34.tv_in1k", "tu-resnet34.tv_in1k"),
        ("timm-efficientnet-b0", "timm-efficientnet-b0"),  # the library's own, in spite of the name
        ("timm-mobilenetv3_large_100", "tu-tf_mobilenetv3_large_100"),
        ("timm-regnety_002", "tu-regnety_002"),
    ],
)
def test_encoders_that_exist(encoder, name):
    assert known_name(encoder) == name


@pytest.mark.parametrize("encoder", sorted(native))
def test_every_native_encoder_is_known(encoder):
    assert known_name(encoder) == encoder


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("resnet43", r"model\.encoder=resnet43 is no encoder .*; did you mean resnet34\?"),
        ("tu-convnext_tinny", r"did you mean tu-convnext_tiny\?"),
        ("resnet34d", r"did you mean tu-resnet34d\?"),  # timm's alone
        ("zzz", r"the library has .* and \d+ more; timm's are named tu-resnet34"),
        ("tu-resnet34.tv_in1", r"no weights of resnet34 by the tag tv_in1; did you mean tu-resnet34\.tv_in1k\?"),
        ("tu-resnet34.zzz", r"by the tag zzz; its weights are .*tv_in1k"),
    ],
)
def test_unknown_encoders_are_refused_with_near_names(encoder, message):
    with pytest.raises(ConfigError, match=message):
        known_name(encoder)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        ("resnet18", True),
        ("mobilenet_v2", True),
        ("tu-mobilenetv3_small_050", True),
        ("inceptionresnetv2", False),
        ("vgg11", False),
        ("tu-pvt_v2_b0", False),
        ("tu-dla34", False),
    ],
)
def test_dilation_is_known_before_a_network_is_built(encoder, expected):
    assert can_dilate(encoder, 16) is expected


@pytest.mark.parametrize(
    ("encoder", "repo"),
    [
        ("resnet34", "smp-hub/resnet34.imagenet"),
        ("inceptionresnetv2", "smp-hub/inceptionresnetv2.imagenet"),
        ("tu-resnet34.tv_in1k", "timm/resnet34.tv_in1k"),
        ("tu-mobilenetv3_large_100", "timm/mobilenetv3_large_100.ra_in1k"),  # timm's default tag
    ],
)
def test_imagenet_is_a_file_on_the_hub(encoder, repo):
    file = published(encoder)
    assert (file.repo, file.name) == (repo, "model.safetensors")
    assert (file.revision is None) == encoder.startswith("tu-")  # the library pins commits


def test_weights_elsewhere_are_named_by_their_address():
    with pytest.raises(ResourceError, match=r"model\.encoder=tu-gcvit_tiny are not on .*Fetch https://.*\.pth and set"):
        published("tu-gcvit_tiny")


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            "tu-mobilenetv2_075",
            r"no published ImageNet weights of model\.encoder=tu-mobilenetv2_075\. Set model\.weights",
        ),
        ("resnext101_32x16d", r"no published ImageNet weights of model\.encoder=resnext101_32x16d"),
    ],
)
def test_encoders_without_published_weights_are_refused(encoder, message):
    with pytest.raises(ConfigError, match=message):
        published(encoder)
