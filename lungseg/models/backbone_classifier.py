"""What the classifiers share: a published network without its last layer, and a last layer of our own."""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

from torch import Tensor, nn

from lungseg.errors import ConfigError, near_name
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.weights import Weights, fit_input, load_weights

Grey = Literal["sum", "repeat"]
Freeze = Literal["none", "backbone"]
HEAD = ("head.weight", "head.bias")

log = logging.getLogger(__name__)


class BackboneClassifier(nn.Module):
    """A backbone that turns an image into features, dropout, and one linear layer that turns them into logits.

    A subclass calls `use` with its backbone at the end of its constructor.

    Args:
        in_channels: of the image; a single-channel image is repeated to them.
        num_classes: C, one logit per class.
        grey: what a grey image meets when `in_channels` is 1. sum: a first convolution of one channel, which gets the
            sum of pretrained weights for red, green and blue; repeat: the unchanged one of three channels, fed three
            copies. Both give the same features from the same pretrained weights, and train differently.
        dropout: probability of dropping a feature before the last layer in training, in [0, 1).
        freeze: none: all weights are trained; backbone: those of the last layer only.
        unfreeze_at_epoch: first epoch, counted from 1, in which a frozen backbone is trained too; null = never. It is
            `lungseg.callbacks.unfreeze.Unfreeze` that does it.

    Attributes:
        net: the backbone, (B, planes, H, W) -> (B, D).
        head: the last layer, D -> num_classes.
        planes: channels of the backbone's first convolution.
        frozen: whether the backbone is not trained now. Its batch norms then keep their statistics, and nothing in it
            is dropped, in training mode too.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes).

    Raises:
        ValueError: an argument is out of its range.
    """

    task = "classification"

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        grey: Grey = "sum",
        dropout: float = 0.0,
        freeze: Freeze = "none",
        unfreeze_at_epoch: int | None = None,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        _check_choice("grey", grey, get_args(Grey))
        _check_choice("freeze", freeze, get_args(Freeze))
        if not 0 <= dropout < 1:
            msg = f"dropout={dropout} is a probability and must be in [0, 1)"
            raise ValueError(msg)
        if unfreeze_at_epoch is not None and (freeze == "none" or unfreeze_at_epoch < 1):
            msg = (
                f"unfreeze_at_epoch={unfreeze_at_epoch} with freeze={freeze}: it is the first epoch, counted from 1, "
                "that trains a backbone frozen by freeze=backbone"
            )
            raise ValueError(msg)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.planes = 3 if in_channels == 1 and grey == "repeat" else in_channels
        self.freeze = freeze
        self.unfreeze_at_epoch = unfreeze_at_epoch
        self.frozen = False
        self.drop = nn.Dropout(dropout)
        self.stride = 1
        self.smallest = 1
        self.net: nn.Module
        self.head: nn.Linear

    def use(self, net: nn.Module, *, features: int, last_conv: str) -> None:
        """Take a backbone, draw the last layer, and freeze what is to be frozen.

        Args:
            net: (B, planes, H, W) -> (B, features).
            features: D.
            last_conv: dotted name of the module in `net` whose maps are the last ones, or, with `net.` in front, one
                that a user named.

        Raises:
            ConfigError: there is no such module.
        """
        self.net = net
        self.head = nn.Linear(features, self.num_classes)
        self._last_conv = last_conv.removeprefix("net.")
        names = [name for name, _ in net.named_modules() if name]
        if self._last_conv not in names:
            near = near_name(self._last_conv, names)
            hint = f"did you mean net.{near}?" if near else f"its last are {', '.join(f'net.{n}' for n in names[-3:])}"
            msg = f"model.last_conv={last_conv} is no module of the backbone; {hint}"
            raise ConfigError(msg)
        if self.freeze == "backbone":
            self.set_frozen(True)

    @property
    def last_conv(self) -> nn.Module:
        """The module whose maps (B, C, h, w) are the last before pooling: where Grad-CAM looks."""
        return self.net.get_submodule(self._last_conv)

    def features(self, image: Tensor) -> Tensor:
        """Return what the last layer reads, (B, D), without dropout.

        Raises:
            ValueError: the image has neither 1 nor `in_channels` channels.
        """
        x = prepare(image, self.in_channels, self.stride, smallest=self.smallest)
        found: Tensor = self.net(x.expand(-1, self.planes, -1, -1))
        return found

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of an image (B, 1 or in_channels, H, W)."""
        logits: Tensor = self.head(self.drop(self.features(image)))
        return logits

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters layer by layer, from the image to the logits; each parameter once.

        A layer is a stage of the backbone; the last is `head`. See `lungseg.models.layerwise`.
        """
        return [*(stage for stage in self.stages() if stage), list(self.head.parameters())]

    def stages(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the backbone, stage by stage."""
        return [list(module.parameters()) for module in self.net.children()]

    def set_frozen(self, frozen: bool) -> None:
        """Freeze the backbone, or train it from now on."""
        self.frozen = frozen
        self.net.requires_grad_(not frozen)
        self.net.train(self.training and not frozen)

    def train(self, mode: bool = True) -> BackboneClassifier:
        """Set the mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.net.eval()
        return self

    def load(self, found: Weights, *, classifier: str, stem: str, advice: str) -> None:
        """Put tensors into backbone and last layer.

        They may have the names of the published network, or those of this one (a checkpoint of lungseg).

        Args:
            found: the tensors.
            classifier: name of the published network's last layer.
            stem: name of the filters of its first convolution.
            advice: what to set when they do not fit.

        Raises:
            ConfigError: tensors of the backbone are missing or have other shapes.
        """
        tensors = found.tensors
        if is_ours(tensors):
            inner = {name.removeprefix("net."): value for name, value in tensors.items() if name.startswith("net.")}
        else:
            inner = dict(tensors)
        load_weights(self.net, Weights(found.origin, fit_input(inner, stem, self.planes)), advice=advice)
        self.take_head(found, classifier)

    def take_head(self, found: Weights, classifier: str) -> None:
        """Put a file's classifier into the last layer where it is of as many classes, and say what was done."""
        given = _head_of(found.tensors, classifier)
        if given is None:
            return
        own = self.head.state_dict()
        if all(given[name].shape == value.shape for name, value in own.items()):
            self.head.load_state_dict({name: given[name] for name in own})
            log.warning(
                "%s: its classifier of %d classes is taken over; its classes must be these, in this order",
                found.origin,
                self.num_classes,
            )
        else:
            log.info(
                "%s: its classifier of %d classes is left out; the last layer, of %d classes, starts from chance",
                found.origin,
                len(given["weight"]),
                self.num_classes,
            )


def is_ours(tensors: dict[str, Any]) -> bool:
    """Say whether tensors have the names of a classifier of lungseg."""
    return HEAD[0] in tensors and any(name.startswith("net.") for name in tensors)


def _head_of(tensors: dict[str, Tensor], classifier: str) -> dict[str, Tensor] | None:
    """Return weight and bias of the last layer, or None where the file has none."""
    place = "head" if is_ours(tensors) else classifier
    given = {part: tensors.get(f"{place}.{part}") for part in ("weight", "bias")}
    found = {part: value for part, value in given.items() if value is not None}
    return found if len(found) == len(given) else None


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        msg = f"{key}={value!r} is not one of {', '.join(choices)}"
        raise ValueError(msg)
