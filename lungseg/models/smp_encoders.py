"""Encoders that `Smp` can take, by name: which there are, which can be dilated, where their weights are published."""

from __future__ import annotations

import warnings

import timm
import torch
from segmentation_models_pytorch.encoders import encoders as native_encoders
from segmentation_models_pytorch.encoders import get_encoder

from lungseg.errors import ConfigError, ResourceError, first_five, near_name
from lungseg.models.weights import IMAGENET, KEY, Published

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
    plain, _, tag = name.removeprefix("tu-").partition(".")
    if name.startswith("tu-") and timm.is_model(plain):
        tags = [item.partition(".")[2] for item in timm.list_pretrained(plain)]
        if tag and tag not in tags:
            near = near_name(tag, tags)
            hint = f"did you mean tu-{plain}.{near}?" if near else f"its weights are {', '.join(tags) or 'none'}"
            msg = f"model.encoder={encoder}: timm has no weights of {plain} by the tag {tag}; {hint}"
            raise ConfigError(msg)
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
    if not encoder.startswith(TIMM):
        settings = native_encoders[encoder]["pretrained_settings"].get(IMAGENET)
        if settings is not None:
            return Published(settings["repo_id"], settings["revision"])
        tags = []
    else:
        config = timm.models.get_pretrained_cfg(encoder.removeprefix(TIMM))
        if config is not None and config.hf_hub_id:
            return Published(config.hf_hub_id, name=config.hf_hub_filename or "model.safetensors")
        if config is not None and config.url:
            msg = (
                f"the weights of model.encoder={encoder} are not on the Hugging Face hub. Fetch {config.url} and set "
                f"{KEY}=/path/to/it"
            )
            raise ResourceError(msg)
        tags = timm.list_pretrained(encoder.removeprefix(TIMM).partition(".")[0])
    ways = f"Name one of its tags ({first_five(TIMM + tag for tag in tags)}), or set" if tags else "Set"
    msg = (
        f"{KEY}={IMAGENET}, but there are no published ImageNet weights of model.encoder={encoder}. {ways} "
        f"{KEY}=/path/to/file, or {KEY}=null for random weights"
    )
    raise ConfigError(msg)
