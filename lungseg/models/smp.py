"""Any architecture of segmentation-models-pytorch on any of its encoders."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any, Literal, get_args

import segmentation_models_pytorch
import torch
from torch import Tensor, nn
from torch.func import functional_call

from lungseg.errors import ConfigError, near_name
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.keras_init import check_bn_momentum
from lungseg.models.smp_encoders import TIMM, can_dilate, known_name, published
from lungseg.models.timm_backbones import load_by_timm
from lungseg.models.weights import (
    IMAGENET,
    Weights,
    fit_input,
    load_weights,
    read_weights,
)

Architecture = Literal[
    "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus", "UPerNet",
    "Segformer", "DPT",
]  # fmt: skip
Grey = Literal["sum", "repeat"]
OURS = ("encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params")
"""Arguments of the library that have keys of their own here, or would make something else than logits."""
STRIDE = 32
SIDES = (32, 64, 128, 256)
"""Smallest images that are tried; PAN pools the sixteenth of the size three times more."""
PARTS = ("net.encoder.", "encoder.")


class Smp(nn.Module):
    """A network of segmentation-models-pytorch, image in, logits out.

    Twelve architectures (Unet, UnetPlusPlus, MAnet, Linknet, FPN, PSPNet, PAN, DeepLabV3, DeepLabV3Plus, UPerNet,
    Segformer, DPT) on the library's own encoders and, as `tu-<name>`, on those of timm. Parameters with 3 input
    channels and 1 class:

        Unet mobilenet_v2 6,628,945 | Unet inceptionresnetv2 62,029,297 | Unet resnet34 24,436,369
        DeepLabV3 resnet34 26,007,105 | DeepLabV3Plus resnet34 22,437,457

    Any height and width are accepted: the image is padded at the bottom and right to the next multiple of 32, and to
    the smallest size that the network can take (128 for PAN), and the logits are cropped back. DPT's transformers get
    `dynamic_img_size`, so that they take any size too, and no classifier, which the library leaves in. Networks that
    take one size only, or patches that do not divide 32, are refused.

    Weights are the encoder's. Each expects images normalised as it was trained, mostly with ImageNet's mean and
    deviation (in grey 0.449 and 0.226), inceptionresnetv2 and many transformers with 0.5 and 0.5; that is a matter of
    the batch's normalisation, not of the network.

    Args:
        in_channels: of the image; a single-channel image is repeated to them.
        num_classes: K, one logit map per structure.
        architecture: one of the twelve names.
        encoder: a name of the library (`resnet34`), or `tu-` and a name of timm, with or without the tag of its
            weights (`tu-convnext_tiny.fb_in22k`).
        weights: null for random ones, imagenet for the library's or the timm tag's published file, or the path of a
            file: one with those names, or a checkpoint of this network.
        grey: what a grey image meets when `in_channels` is 1. sum: a first convolution of one channel, its weights the
            sum of those for red, green and blue; repeat: the unchanged one of three channels, fed three copies. Both
            give the same features from the same weights, and train differently.
        options: further arguments of the architecture, by the library's names, such as `decoder_channels`.
        encoder_options: further arguments of a timm encoder, by timm's names.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch); null leaves what each encoder
            comes with, 0.1 mostly, 0.01 in EfficientNets, which then need hundreds of steps to settle.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes, H, W).

    Raises:
        ValueError: a channel count below 1, or the image has neither 1 nor `in_channels` channels.
        ConfigError: an unknown architecture, encoder or option; an encoder that the architecture cannot use; weights
            that are missing or do not fit.
        ResourceError: published weights are neither in the cache nor to be fetched.

    Source:
        Iakubovskii 2019, github.com/qubvel-org/segmentation_models.pytorch; Wightman 2019, github.com/huggingface/
        pytorch-image-models.

    Example:
        >>> net = Smp(encoder="tu-mobilenetv3_small_050", options={"decoder_channels": [16, 8, 8, 8, 4]})
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 1, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        architecture: Architecture = "Unet",
        encoder: str = "resnet34",
        weights: str | None = None,
        grey: Grey = "sum",
        options: Mapping[str, Any] | None = None,
        encoder_options: Mapping[str, Any] | None = None,
        bn_momentum: float | None = None,
    ) -> None:
        super().__init__()
        check_channels(in_channels, num_classes)
        if bn_momentum is not None:
            check_bn_momentum(bn_momentum)
        if grey not in get_args(Grey):
            msg = f"grey={grey!r} is not one of {', '.join(get_args(Grey))}"
            raise ValueError(msg)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.architecture = architecture
        self.encoder_name = known_name(encoder)
        self.planes = 3 if in_channels == 1 and grey == "repeat" else in_channels
        self._options = _checked_options(architecture, options or {})
        self._encoder_options = _checked_encoder_options(architecture, self.encoder_name, encoder_options or {})
        self.net = self._load(weights) if weights is not None else self._make()
        self.smallest = self._smallest()
        if bn_momentum is not None:
            for module in self.net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = bn_momentum

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        height, width = image.shape[-2:]
        x = prepare(image, self.in_channels, STRIDE, smallest=self.smallest)
        logits: Tensor = self.net(x.expand(-1, self.planes, -1, -1))
        return logits[..., :height, :width]

    def _make(self, **timm_options: Any) -> nn.Module:
        """Build the library's network; `timm_options` go to timm beside the user's.

        Raises:
            ConfigError: the library refuses the combination.
        """
        arguments = dict(
            arch=self.architecture,
            encoder_name=self.encoder_name,
            encoder_weights=True if timm_options else None,
            in_channels=self.planes,
            classes=self.num_classes,
            **self._options,
            **self._encoder_options,
            **timm_options,
        )
        try:
            with warnings.catch_warnings():
                # the few timm- names that the library still has itself
                warnings.filterwarnings("ignore", "`timm-` encoders are deprecated", DeprecationWarning)
                if self.architecture == "DPT":
                    return _make_any_size(arguments)
                net: nn.Module = segmentation_models_pytorch.create_model(**arguments)
        except Exception as error:  # both libraries refuse arguments with errors of any kind
            raise ConfigError(self._refusal(error)) from error
        return net

    def _refusal(self, error: Exception) -> str:
        """Say why the network cannot be built, and what to do."""
        what = f"model.architecture={self.architecture} with model.encoder={self.encoder_name}"
        stride = self._output_stride()
        if stride is not None and not can_dilate(self.encoder_name, stride):
            other = ", or model.options.encoder_output_stride=32" if self.architecture == "PAN" else ""
            return (
                f"{what}: this architecture ends its encoder at 1/{stride} of the size by dilated convolutions, which "
                f"this encoder does not have ({type(error).__name__}: {error}). Choose an encoder that has, such as "
                "resnet34, mobilenet_v2 or tu-convnext_tiny, or an architecture without, such as Unet or "
                f"UPerNet{other}"
            )
        hint = (
            "Give it a timm transformer with patches of 16 pixels, such as tu-vit_small_patch16_224"
            if self.architecture == "DPT"
            else "Check model.options and model.encoder_options, or choose another encoder, such as resnet34"
        )
        return f"{what} cannot be built ({type(error).__name__}: {error}). {hint}"

    def _output_stride(self) -> int | None:
        """Return the part of the size that the encoder is to end at, where that takes dilation and can be had."""
        default = _arguments(self.architecture).get("encoder_output_stride")
        if default is None:
            return None
        stride = int(self._options.get("encoder_output_stride", default.default))
        return stride if stride in (8, 16) else None

    def _load(self, weights: str) -> nn.Module:
        """Build the network with weights in its encoder.

        Raises:
            ConfigError: they are missing or do not fit.
            ResourceError: published ones are neither in the cache nor to be fetched.
        """
        file = published(self.encoder_name) if weights == IMAGENET else None
        found = read_weights(weights, file, parts=PARTS)
        chance = torch.get_rng_state()
        net = self._make()
        encoder = net.get_submodule("encoder")
        advice = f"Set model.encoder to the network that the file is of (now {self.encoder_name})"
        if not self.encoder_name.startswith(TIMM) or _is_own(encoder, found.tensors):
            fitted = found.tensors
            for name, own in encoder.state_dict().items():
                if own.ndim == 4 and own.shape[1] == self.planes:  # of these, RGB filters are those of the first layer
                    fitted = fit_input(fitted, name, self.planes)
            load_weights(encoder, Weights(found.origin, fitted), advice=advice)
            return net
        return load_by_timm(self._make, found, plain=net, chance=chance, inside="encoder", advice=advice)

    def _smallest(self) -> int:
        """Return the smallest side that the network can take, found by running it without numbers.

        Raises:
            ConfigError: it takes none of several sizes.
        """
        hollow = {name: value.to("meta") for name, value in (*self.net.named_parameters(), *self.net.named_buffers())}
        reason = ""
        self.net.eval()  # batch norm needs no statistics, and dropout draws nothing
        try:
            for side in SIDES:
                image = torch.empty(2, self.planes, side, side + STRIDE, device="meta")
                try:
                    with torch.no_grad():
                        size = functional_call(self.net, hollow, (image,)).shape[-2:]
                except Exception as error:  # both libraries fail in errors of any kind
                    if isinstance(error, NotImplementedError) or "meta" in str(error):
                        return STRIDE  # an operation that cannot be run without numbers: nothing is known
                    reason = f"{type(error).__name__}: {error}"
                    continue
                if size == image.shape[-2:]:
                    return side
                reason = f"an image of {side} x {side + STRIDE} gives logits of {size[0]} x {size[1]}"
        finally:
            self.net.train()
        hint = (
            "DPT takes timm's transformers with patches of 8, 16 or 32 pixels, such as tu-vit_small_patch16_224"
            if self.architecture == "DPT"
            else "Choose a convolutional encoder, such as resnet34 or tu-convnext_tiny; timm's swin networks take any "
            "size with model.encoder_options.strict_img_size=false"
        )
        msg = (
            f"model.architecture={self.architecture} with model.encoder={self.encoder_name} does not take images of "
            f"any size ({reason.strip().rstrip('.')}). {hint}"
        )
        raise ConfigError(msg)


def _arguments(architecture: str) -> dict[str, inspect.Parameter]:
    """Return the named arguments of an architecture, by the library's names."""
    cls = getattr(segmentation_models_pytorch, architecture)
    named = inspect.signature(cls.__init__).parameters.values()
    return {item.name: item for item in named if item.name != "self" and item.kind is not item.VAR_KEYWORD}


def _checked_options(architecture: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for an architecture.

    Raises:
        ConfigError: there is no such architecture, or it has no such option.
    """
    names = get_args(Architecture)
    if architecture not in names:
        near = near_name(architecture, names)
        hint = f"; did you mean {near}?" if near else ""
        msg = f"model.architecture={architecture} is none of {', '.join(names)}{hint}"
        raise ConfigError(msg)
    known = [name for name in _arguments(architecture) if name not in OURS]
    for name in options:
        if name in OURS:
            msg = (
                f"model.options.{name} is set by keys of the model itself or by the task. Remove it from model.options"
            )
            raise ConfigError(msg)
        if name not in known:
            near = near_name(name, known)
            hint = f"did you mean {near}?" if near else f"it has {', '.join(known)}"
            msg = f"model.options.{name} is no option of {architecture}; {hint}"
            raise ConfigError(msg)
    return dict(options)


def _checked_encoder_options(architecture: str, encoder: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for timm; which ones a network of its takes, it says itself.

    Raises:
        ConfigError: the encoder is not timm's, or an option belongs elsewhere.
    """
    if options and not encoder.startswith(TIMM):
        msg = (
            f"model.encoder_options are for timm's encoders (tu-...), and model.encoder={encoder} is none. Remove them"
        )
        raise ConfigError(msg)
    for name in options:
        if name in _arguments(architecture) or name in {"in_chans", "features_only", "pretrained", "out_indices"}:
            msg = f"model.encoder_options.{name} is set by other keys of the model. Remove it from there"
            raise ConfigError(msg)
    return dict(options)


def _make_any_size(arguments: dict[str, Any]) -> nn.Module:
    """Build a DPT whose transformer takes any size, where timm's has that argument, and has no classifier."""
    arguments = {"num_classes": 0, **arguments}
    try:
        net: nn.Module = segmentation_models_pytorch.create_model(**{"dynamic_img_size": True, **arguments})
    except TypeError as error:
        if "dynamic_img_size" not in str(error):
            raise
        net = segmentation_models_pytorch.create_model(**arguments)
    return net


def _is_own(encoder: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Say whether tensors have the names of the encoder itself, as its own checkpoint has, and not timm's."""
    return all(name in tensors for name in encoder.state_dict())
