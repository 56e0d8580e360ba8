"""Stacking: a meta learner on the probability maps of whole networks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from lungseg.errors import ConfigError
from lungseg.models.inputs import check_channels
from lungseg.models.meta_head import MetaHead, Place
from lungseg.models.weights import IMAGENET, load_weights, read_weights, share_out

Activation = Literal["sigmoid", "softmax"]
Base = Callable[..., nn.Module]
"""A class of networks of lungseg, or a partial of one with arguments of its own."""


class Stacked(nn.Module):
    """Base networks whose probability maps a meta learner joins, image in, logits out.

    Variant B of the dual encoder's paper (A is `DualEncoder`): each base network segments the image, their
    probabilities are concatenated, and `MetaHead` makes the logits from them. The bases may be any networks of
    lungseg. Trainable parameters with 3 input channels and 1 class:

        head on two maps      11,105, with `meta_bn=last` 10,913; with `meta_kernel=3` 93,537 and 93,345
        head on three maps    11,137, with `meta_bn=last` 10,945
        with U-Net + MobileNetV2 and U-Net + InceptionResNetV2 in Keras's form (the default)    46,832,419
        with segmentation-models-pytorch's U-Nets on mobilenet_v2 and inceptionresnetv2         68,669,347

    Any height and width are accepted, since each base takes them.

    Args:
        bases: name -> network, not yet built: a class, or a partial of one (`_partial_: true` in YAML). Each is
            built with `in_channels` and `num_classes` of this network unless it names its own.
        in_channels: of the image for the bases.
        num_classes: K, one logit map per structure.
        weights: null for random bases; imagenet for their encoders, as far as they take weights; or a mapping from
            names of bases to imagenet or to the file of a whole base network, such as a checkpoint of its own training.
        activation: what makes a base's logits probabilities: sigmoid, or softmax over its channels for bases that
            were trained with a background.
        freeze_bases: train the meta learner only; the bases' batch norms keep their running statistics too.
        meta_widths: channels of the meta learner's dense layers.
        meta_kernel: side of their convolutions, 1 or 3.
        meta_bn: each: batch norm after each dense layer; last: before the last convolution only.
        meta_dropout: probability of dropping a whole channel after a dense layer in training, in [0, 1).

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.
        ConfigError: weights are missing, do not fit, or are for a base that is not here.
        ResourceError: published weights are neither in the cache nor to be fetched.

    Source:
        Paper key `dual_encoder`, section on the proposed architecture.

    Example:
        >>> from lungseg.models.resunet import ResUNet
        >>> small = partial(ResUNet, features=(4, 8))
        >>> net = Stacked(bases={"one": small, "other": small}, freeze_bases=True)
        >>> sum(p.numel() for p in net.parameters() if p.requires_grad)
        11105
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 1, 33, 50])
    """

    def __init__(
        self,
        *,
        bases: Mapping[str, Base],
        in_channels: int = 1,
        num_classes: int = 1,
        weights: str | Mapping[str, str | None] | None = None,
        activation: Activation = "sigmoid",
        freeze_bases: bool = False,
        meta_widths: Sequence[int] = (32, 64, 128),
        meta_kernel: int = 1,
        meta_bn: Place = "each",
        meta_dropout: float = 0.4,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        if activation not in get_args(Activation):
            msg = f"activation={activation!r} is not one of {', '.join(get_args(Activation))}"
            raise ValueError(msg)
        chosen = {name: base for name, base in bases.items() if base is not None}
        if not chosen:
            msg = "bases is empty; name at least one network, as in conf/model/stacked.yaml"
            raise ValueError(msg)
        files = share_out(weights, list(chosen))
        if weights == IMAGENET:
            files = {name: file for name, file in files.items() if _takes_weights(chosen[name])}
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.activation = activation
        self.freeze_bases = freeze_bases
        self.bases = nn.ModuleDict(
            {
                name: _build(name, base, in_channels, num_classes, files.get(name) == IMAGENET)
                for name, base in chosen.items()
            }
        )
        for name, file in files.items():
            if file != IMAGENET:
                found = read_weights(file, None, parts=(f"bases.{name}.",), key=f"model.weights.{name}")
                load_weights(
                    self.bases[name], found, advice=f"Give model.bases.{name} the arguments it was trained with"
                )
        maps = sum(int(getattr(base, "num_classes", num_classes)) for base in self.bases.values())
        self.head = MetaHead(
            maps, num_classes, widths=meta_widths, kernel=meta_kernel, bn=meta_bn, dropout=meta_dropout
        )
        if freeze_bases:
            self.bases.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Stacked:
        """Switch between training and evaluation; frozen bases stay in evaluation."""
        super().train(mode)
        if self.freeze_bases:
            self.bases.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        maps = [base(image) for base in self.bases.values()]
        probabilities = [logits.sigmoid() if self.activation == "sigmoid" else logits.softmax(dim=1) for logits in maps]
        logits: Tensor = self.head(torch.cat(probabilities, dim=1))
        return logits


def _build(name: str, base: Base, in_channels: int, num_classes: int, imagenet: bool) -> nn.Module:
    """Build one base network.

    Raises:
        ConfigError: it names weights itself, or takes none although they are wanted.
    """
    own: Mapping[str, Any] = base.keywords if isinstance(base, partial) else {}
    if own.get("weights") is not None:
        msg = (
            f"model.bases.{name}.weights={own['weights']} would be read whenever the whole network is built, from its "
            f"checkpoint too. Give model.weights.{name} instead"
        )
        raise ConfigError(msg)
    given: dict[str, Any] = {"in_channels": in_channels, "num_classes": num_classes}
    if imagenet:
        if not _takes_weights(base):
            msg = (
                f"model.weights asks for {IMAGENET} weights of {name}, but model.bases.{name} takes none. Leave it out"
            )
            raise ConfigError(msg)
        given["weights"] = IMAGENET
    built: nn.Module = base(**{key: value for key, value in given.items() if key not in own or key == "weights"})
    return built


def _takes_weights(base: Base) -> bool:
    return "weights" in inspect.signature(base).parameters
