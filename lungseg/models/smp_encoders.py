"""Encoders that `Smp` can take, by name: which there are, which can be dilated, where their weights are published."""

from __future__ import annotations

import warnings

import timm
import torch
from segmentation_models_pytorch.encoders import encoders as native_encoders
from segmentation_models_pytorch.encoders import get_encoder

from lungseg.errors import ConfigError, first_five, near_name
from lungseg.models.timm_backbones import check_tag, none_published, published_by_timm
from lungseg.models.weights import IMAGENET, Published

TIMM = "tu-"
"""Before the names of timm's encoders."""


def known_name(encoder: str) -> str:
    """Return the name of an encoder that exists.

    Old names of the library (`timm-mobilenetv3_large_100`) become the ones that it takes them for.

    Raises:
        ConfigError: there is none of that name; suggests near ones.
    """
    if encoder in native_encoders:
        return encoder
    name = encoder
    if name.startswith("timm-"):
        name = "tu-" + name.removeprefix("timm-").replace("mobilenetv3", "tf_mobilenetv3")
    plain = name.removeprefix("tu-").partition(".")[0]
    if name.startswith("tu-") and timm.is_model(plain):
        check_tag(name.removeprefix("tu-"), f"model.encoder={encoder}", TIMM)
        return name
    near = near_name(encoder, native_encoders) or near_name(name.removeprefix("tu-"), timm.list_models())
    if timm.is_model(plain):
        near = name.removeprefix("tu-")
    if near:
        hint = f"did you mean {near if near in native_encoders else f'tu-{near}'}?"
    else:
        hint = f"the library has {first_five(native_encoders)}; timm's are named tu-resnet34, tu-convnext_tiny, ..."
    msg = f"model.encoder={encoder} is no encoder of segmentation-models-pytorch or timm; {hint}"
    raise ConfigError(msg)


def can_dilate(encoder: str, stride: int) -> bool:
    """Say whether an encoder can end at 1/`stride` of the size, given that it can be built at all."""
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore", DeprecationWarning)
            get_encoder(encoder, weights=None)
            try:
                get_encoder(encoder, weights=None, output_stride=stride)
            except Exception:
                return False
    except Exception:  # it fails for other reasons, of which the library's own error tells
        return True
    return True


def published(encoder: str) -> Published:
    """Return the file that `imagenet` means for an encoder: the library's, or of timm's tag or default tag.

    Raises:
        ConfigError: there are none.
        ResourceError: timm has them elsewhere than on the hub; says where.
    """
    key = f"model.encoder={encoder}"
    if encoder.startswith(TIMM):
        return published_by_timm(encoder.removeprefix(TIMM), key, TIMM)
    settings = native_encoders[encoder]["pretrained_settings"].get(IMAGENET)
    if settings is None:
        raise ConfigError(none_published(key, []))
    return Published(settings["repo_id"], settings["revision"])
