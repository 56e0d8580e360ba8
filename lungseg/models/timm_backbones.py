"""Networks of timm by name: which there are, where their weights are published, and how a file gets into one."""

from __future__ import annotations

from collections.abc import Callable

import timm
import torch
from torch import nn

from lungseg.errors import ConfigError, ResourceError, first_five, near_name
from lungseg.models.weights import IMAGENET, KEY, Published, Weights, misfit


def known_backbone(backbone: str) -> str:
    """Return the name of a network that timm has, with or without the tag of its weights.

    Raises:
        ConfigError: there is none of that name, or no such tag; suggests near ones.
    """
    key = f"model.backbone={backbone}"
    plain = backbone.partition(".")[0]
    if timm.is_model(plain):
        check_tag(backbone, key)
        return backbone
    near = near_name(backbone, timm.list_models())
    hint = f"did you mean {near}?" if near else "it has resnet34, convnext_tiny, vit_small_patch16_224, ..."
    msg = f"{key} is no network of timm; {hint}"
    raise ConfigError(msg)


def check_tag(name: str, key: str, prefix: str = "") -> None:
    """Refuse the tag of weights that timm does not have.

    Args:
        name: of a network, perhaps with a tag: `resnet34.a1_in1k`.
        key: and value that named it.
        prefix: before timm's names in the config.

    Raises:
        ConfigError: there is no such tag.
    """
    plain, _, tag = name.partition(".")
    tags = [item.partition(".")[2] for item in timm.list_pretrained(plain)]
    if tag and tag not in tags:
        near = near_name(tag, tags)
        hint = f"did you mean {prefix}{plain}.{near}?" if near else f"its weights are {', '.join(tags) or 'none'}"
        msg = f"{key}: timm has no weights of {plain} by the tag {tag}; {hint}"
        raise ConfigError(msg)


def published_by_timm(name: str, key: str, prefix: str = "") -> Published:
    """Return the file that `imagenet` means for a network of timm: that of its tag, or of the default one.

    Args:
        name: of the network, with or without a tag.
        key: and value that named it, for messages.
        prefix: before timm's names in the config.

    Raises:
        ConfigError: there are none.
        ResourceError: timm has them elsewhere than on the hub; says where.
    """
    config = timm.models.get_pretrained_cfg(name)
    if config is not None and config.hf_hub_id:
        return Published(config.hf_hub_id, name=config.hf_hub_filename or "model.safetensors")
    if config is not None and config.url:
        msg = f"the weights of {key} are not on the Hugging Face hub. Fetch {config.url} and set {KEY}=/path/to/it"
        raise ResourceError(msg)
    raise ConfigError(none_published(key, [prefix + tag for tag in timm.list_pretrained(name.partition(".")[0])]))


def none_published(key: str, others: list[str]) -> str:
    """Say that a network has no published weights, and what to set.

    Args:
        key: and value that named it.
        others: names that have some.
    """
    ways = f"Name one of its tags ({first_five(others)}), or set" if others else "Set"
    return (
        f"{KEY}={IMAGENET}, but there are no published ImageNet weights of {key}. {ways} {KEY}=/path/to/file, or "
        f"{KEY}=null for random weights"
    )


def load_by_timm(
    make: Callable[..., nn.Module],
    found: Weights,
    *,
    plain: nn.Module,
    chance: torch.Tensor,
    inside: str = "",
    advice: str,
) -> nn.Module:
    """Build a network anew with a file's tensors in it.

    timm renames and reshapes what its files hold while it builds a network. What fits nowhere it leaves out, and says
    nothing: here it is looked for.

    Args:
        make: builds the network; further arguments go to timm.
        found: the tensors.
        plain: the network as `make` built it without weights.
        chance: state of torch's generator before that, so that what the file does not replace is drawn as before.
        inside: dotted name of timm's part in the network; empty = all of it.
        advice: what to set when the tensors do not fit.

    Raises:
        ConfigError: tensors are missing or have other shapes.
    """
    torch.set_rng_state(chance)
    try:
        loaded = make(pretrained_cfg_overlay={"state_dict": dict(found.tensors)})  # timm takes some out
    except ConfigError as error:
        lines = [line.strip().rstrip(".") for line in str(error.__cause__).splitlines()[1:] if line.strip()]
        msg = f"{found.origin} does not fit the network: {first_five(lines) or error.__cause__}. {advice}"
        raise ConfigError(msg) from error.__cause__
    for module in loaded.modules():
        config = getattr(module, "pretrained_cfg", None)
        if isinstance(config, dict):
            config.pop("state_dict", None)  # or timm's record of how it was made would keep all tensors twice
    before = plain.get_submodule(inside).state_dict()
    untouched = [
        name
        for name, value in loaded.get_submodule(inside).state_dict().items()
        if torch.equal(value, before[name]) and _must_be_given(name, value, found)
    ]
    if untouched:
        raise ConfigError(misfit(found.origin, len(before), [], untouched, found.tensors, advice))
    return loaded


def _must_be_given(name: str, value: torch.Tensor, found: Weights) -> bool:
    """Say whether a tensor that is as it was before cannot have come from a file.

    Biases and scales begin with the same number everywhere, and the statistics of batch norms may be in a file as they
    begin, so that it is asked whether it has any; all other tensors were drawn at random.
    """
    if name.endswith("running_var"):
        return not any(other.endswith("running_var") for other in found.tensors)
    return value.is_floating_point() and value.ndim > 1 and bool((value != value.flatten()[0]).any())
