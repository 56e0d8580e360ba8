"""Any network of timm with a last layer of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn
from torch.func import functional_call

from lungseg.errors import ConfigError
from lungseg.models.backbone_classifier import BackboneClassifier, Freeze, Grey, is_ours
from lungseg.models.timm_backbones import known_backbone, load_by_timm, published_by_timm
from lungseg.models.weights import IMAGENET, read_weights

SIDES = (32, 64, 128, 256)
"""Smallest images that are tried."""
COARSEST = 64
"""Pixels along the side of a map's cell, at the most; networks have 32, some 64."""
WAYS: tuple[dict[str, bool], ...] = ({}, {"dynamic_img_size": True}, {"strict_img_size": False})
"""Arguments by which networks that were made for one size take others: none, of transformers, of windowed ones."""
OURS = (
    "num_classes",
    "in_chans",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "features_only",
    "drop_rate",
)
"""Arguments of timm that have keys of their own here, or would make something else than features."""


@dataclass(frozen=True)
class _Found:
    """What a trial of a network told.

    Args:
        features: D.
        last_conv: name of the module whose maps are the last.
        stride: what both sides must be multiples of.
        smallest: the least side.
        fixed: the only size that is taken, (height, width); None = any.
    """

    features: int
    last_conv: str
    stride: int = 1
    smallest: int = 1
    fixed: tuple[int, int] | None = None


class TimmClassifier(BackboneClassifier):
    """A network of timm whose last layer is replaced, image in, logits out.

    Any height and width are accepted by convolutional networks, and by transformers that can be told so, which is done
    here: the image is padded at the bottom and right to the patch size, and to the smallest size that works. A network
    that takes one size only refuses others; `options.img_size` sets it where timm has that argument.

    Grad-CAM's layer is the last module that gives maps (B, C, h, w) in the proportions of the image. Of a transformer
    without convolutions after its patches that is the one that makes them.

    Published weights expect images normalised as they were trained, mostly with ImageNet's mean and deviation (in grey
    0.449 and 0.226), many transformers with 0.5 and 0.5; that is a matter of the batch's normalisation.

    Args:
        in_channels: of the image; a single-channel image is repeated to them.
        num_classes: C, one logit per class.
        backbone: a name of timm, with or without the tag of its weights (`resnet34`, `convnext_tiny.fb_in22k`).
        weights: null for random ones, imagenet for the published file of the tag or of timm's default tag, or the path
            of a file: one with timm's names, or a checkpoint of this network.
        grey: sum or repeat: what a grey image meets when `in_channels` is 1, see BackboneClassifier.
        dropout: probability of dropping a feature before the last layer.
        freeze: none or backbone, see BackboneClassifier.
        unfreeze_at_epoch: first epoch that trains a frozen backbone, counted from 1; null = never.
        last_conv: dotted name of the module that Grad-CAM looks at; null = found as above.
        options: further arguments of the network, by timm's names, such as `drop_path_rate`.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes).

    Raises:
        ValueError: an argument is out of its range; the image has neither 1 nor `in_channels` channels, or another size
            than the only one that the network takes.
        ConfigError: an unknown network, option or module; weights that are missing or do not fit.
        ResourceError: published weights are neither in the cache nor to be fetched.

    Source:
        Wightman 2019, github.com/huggingface/pytorch-image-models.

    Example:
        >>> net = TimmClassifier(backbone="test_resnet", num_classes=3).eval()
        >>> net(torch.zeros(2, 1, 33, 50)).shape, net.features(torch.zeros(2, 1, 33, 50)).shape
        (torch.Size([2, 3]), torch.Size([2, 96]))
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 2,
        backbone: str = "resnet34",
        weights: str | None = None,
        grey: Grey = "sum",
        dropout: float = 0.0,
        freeze: Freeze = "none",
        unfreeze_at_epoch: int | None = None,
        last_conv: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            num_classes=num_classes,
            grey=grey,
            dropout=dropout,
            freeze=freeze,
            unfreeze_at_epoch=unfreeze_at_epoch,
        )
        self.backbone = known_backbone(backbone)
        self._options = _checked_options(options or {})
        self._way: dict[str, bool] = {}
        chance = torch.get_rng_state()
        net, found = self._fit(chance)
        self.stride, self.smallest, self.fixed = found.stride, found.smallest, found.fixed
        file = None
        if weights is not None:
            published = published_by_timm(self.backbone, self._key) if weights == IMAGENET else None
            file = read_weights(weights, published, parts=())
            if not is_ours(file.tensors):
                net = load_by_timm(self._make, file, plain=net, chance=chance, advice=self._advice)
        classifier = net.pretrained_cfg.get("classifier") if isinstance(net.pretrained_cfg, dict) else None
        self.use(net, features=found.features, last_conv=last_conv or found.last_conv)
        if file is not None:
            name = classifier if isinstance(classifier, str) else ""
            if is_ours(file.tensors):
                self.load(file, classifier=name, stem="", advice=self._advice)
            else:
                self.take_head(file, name)

    @property
    def _key(self) -> str:
        return f"model.backbone={self.backbone}"

    @property
    def _advice(self) -> str:
        return f"Set model.backbone to the network that the file is of (now {self.backbone})"

    def features(self, image: Tensor) -> Tensor:
        """Return what the last layer reads, (B, D), without dropout.

        Raises:
            ValueError: the image has neither 1 nor `in_channels` channels, or another size than the only one.
        """
        if self.fixed is not None and tuple(image.shape[-2:]) != self.fixed:
            height, width = self.fixed
            msg = (
                f"image has {image.shape[-2]} x {image.shape[-1]} pixels, but {self._key} takes "
                f"{height} x {width} only. Set preprocess.steps.resize.size=[{height},{width}]"
            )
            raise ValueError(msg)
        return super().features(image)

    def stages(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the backbone, stage by stage, as timm groups them."""
        matcher: Any = getattr(self.net, "group_matcher", None)
        if matcher is None:
            return super().stages()
        named = dict(self.net.named_parameters())
        groups = group_parameters(self.net, matcher(coarse=True))
        return [[named[name] for name in groups[number]] for number in sorted(groups)]

    def _make(self, **timm_options: Any) -> nn.Module:
        """Build timm's network without its last layer.

        Raises:
            ConfigError: timm refuses the arguments.
        """
        arguments = {
            **self._way,
            **self._options,
            **timm_options,
            "num_classes": 0,
            "in_chans": self.planes,
            "pretrained": bool(timm_options),
        }
        try:
            net: nn.Module = timm.create_model(self.backbone, **arguments)
        except Exception as error:  # timm refuses arguments with errors of any kind
            msg = (
                f"{self._key} cannot be built ({type(error).__name__}: {error}). Check "
                "model.options, or choose another network, such as resnet34"
            )
            raise ConfigError(msg) from error
        return net

    def _fit(self, chance: Tensor) -> tuple[nn.Module, _Found]:
        """Build the network so that it takes images of any size, where it can.

        Args:
            chance: state of torch's generator that each trial starts from.

        Raises:
            ConfigError: it cannot be built, or gives no features.
        """
        for way in WAYS:
            self._way = way
            torch.set_rng_state(chance)
            try:
                net = self._make()
            except ConfigError:
                if not way:
                    raise
                continue  # it has no such argument
            patch = _patch_of(net)
            for stride in dict.fromkeys((1, patch, 32)):
                for side in SIDES:
                    first = side + -side % stride
                    if _trial(net, self.planes, (first, first + (13 if stride == 1 else stride))) is None:
                        continue
                    # the last maps of the smallest image are a single point: they are told on a larger one
                    found = _trial(net, self.planes, (8 * first, 8 * first + 4 * stride))
                    if found is not None:
                        return net, _Found(*found, stride=stride, smallest=first)
        self._way = {}
        torch.set_rng_state(chance)
        net = self._make()
        size = self._only_size(net)
        found = _trial(net, self.planes, size)
        if found is None:
            msg = (
                f"{self._key} gives no features (B, D) of an image of {size[0]} x {size[1]}. Choose another network, "
                "such as resnet34 or vit_small_patch16_224"
            )
            raise ConfigError(msg)
        return net, _Found(*found, fixed=size)

    def _only_size(self, net: nn.Module) -> tuple[int, int]:
        """Return the size that a network was built for."""
        size = self._options.get("img_size")
        if size is None:
            config: Any = net.pretrained_cfg
            size = config.get("input_size", (3, 224, 224))[1:]
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for timm; which ones a network takes, it says itself.

    Raises:
        ConfigError: an option belongs elsewhere.
    """
    for name in options:
        if name in OURS:
            msg = f"model.options.{name} is set by other keys of the model or by the task. Remove it from there"
            raise ConfigError(msg)
    return dict(options)


def _patch_of(net: nn.Module) -> int:
    """Return the side of a transformer's patches, 16 where it does not say."""
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", 16)
    return int(max(patch)) if isinstance(patch, tuple | list) else int(patch)


def _trial(net: nn.Module, planes: int, size: tuple[int, int]) -> tuple[int, str] | None:
    """Run a network on an empty image, without numbers where that can be.

    Returns:
        The number of features, and the module whose maps are the last; None where the network does not take the size.
    """
    maps: list[str] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, _: Any, out: Any) -> None:
            if isinstance(out, Tensor) and _is_map(out, size) and not isinstance(module, nn.Identity | nn.Dropout):
                maps.append(name)

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in net.named_modules() if name]
    net.eval()  # batch norm needs no statistics, and dropout draws nothing
    try:
        with torch.no_grad():
            out = _run(net, planes, size)
    except Exception:  # networks refuse a size with errors of any kind
        return None
    finally:
        net.train()
        for hook in hooks:
            hook.remove()
    if not isinstance(out, Tensor) or out.ndim != 2:
        return None
    convolutions = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    last = maps[-1] if maps else (convolutions or [name for name, _ in net.named_modules() if name])[-1]
    return out.shape[1], last


def _run(net: nn.Module, planes: int, size: tuple[int, int]) -> Any:
    """Return what a network makes of an empty image: without numbers, or with them where it cannot do without."""
    hollow = {name: value.to("meta") for name, value in (*net.named_parameters(), *net.named_buffers())}
    try:
        return functional_call(net, hollow, (torch.empty(1, planes, *size, device="meta"),))
    except Exception as error:
        if not isinstance(error, NotImplementedError) and "meta" not in str(error):
            raise
        if next(net.parameters()).is_meta:
            raise
    return net(torch.zeros(1, planes, *size))


def _is_map(out: Tensor, size: tuple[int, int]) -> bool:
    """Say whether an output is (B, C, h, w) with h : w as H : W, give or take a pixel, and not yet pooled.

    Cells of more than `COARSEST` pixels are what is left by a dense layer written as a convolution, as VGG has them:
    7 x 7 on maps of 7 x 7.

    Example:
        >>> _is_map(torch.empty(1, 48, 4, 6), (64, 96)), _is_map(torch.empty(1, 4, 6, 48), (64, 96))
        (True, False)
    """
    if out.ndim != 4 or out.shape[-2:] == (1, 1):
        return False
    height, width = out.shape[-2:]
    if height * COARSEST < size[0]:
        return False
    ratio = size[1] / size[0]
    return abs(width - ratio * height) <= 1 + ratio
