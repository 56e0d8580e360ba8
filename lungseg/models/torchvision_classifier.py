"""Classifiers of torchvision with a last layer of our own, as paper key `cxr_classification` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn
from torchvision.models import get_model, get_model_weights

from lungseg.errors import ConfigError, near_name
from lungseg.models.backbone_classifier import BackboneClassifier, Freeze, Grey
from lungseg.models.weights import Download, read_weights

Architecture = Literal["resnet34", "mobilenet_v3_large", "efficientnet_b1"]


@dataclass(frozen=True)
class _Names:
    """Where the parts of a network of torchvision are.

    Args:
        stem: its first convolution.
        classifier: its last layer.
        last_conv: the module whose maps are pooled.
        dropout: probability before the last layer.
    """

    stem: str
    classifier: str
    last_conv: str
    dropout: float


NAMES: dict[str, _Names] = {
    "resnet34": _Names("conv1", "fc", "layer4.2", 0.0),
    "mobilenet_v3_large": _Names("features.0.0", "classifier.3", "features.16", 0.2),
    "efficientnet_b1": _Names("features.0.0", "classifier.1", "features.8", 0.2),
}


class TorchvisionClassifier(BackboneClassifier):
    """A network of torchvision whose last layer is replaced, image in, logits out.

    Parameters with three channels at the first convolution (`grey=repeat`, or `in_channels=3`) and 3 or 7 classes, how
    many fewer with one channel, and billions of multiply-accumulates at 1024 x 1024:

        resnet34            21,286,211   21,288,263   6,272 fewer   76.6
        mobilenet_v3_large   4,205,875    4,210,999     288 fewer    4.4
        efficientnet_b1      6,517,027    6,522,151     576 fewer   11.9

    The paper's Table 2 prints 153.9, 8.7 and 25.8 billion operations, two for each multiply-accumulate. The counts that
    torchvision publishes, at 224 (efficientnet_b1: 240) pixels, give 153.1, 9.1 and 25.0 when they are scaled by area.

    Any height and width are accepted: the maps are averaged. The features are the averaged maps (512, or 1280 for
    efficientnet_b1), of mobilenet_v3_large what the hidden layer of 1280 makes of them.

    Published weights expect images of mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, 0.225 (in grey 0.449 and
    0.226), which is a matter of the batch's normalisation, not of the network.

    Args:
        in_channels: of the image; a single-channel image is repeated to them.
        num_classes: C, one logit per class.
        architecture: resnet34, mobilenet_v3_large or efficientnet_b1.
        weights: null for random ones; imagenet for torchvision's newest (IMAGENET1K_V2, of resnet34 V1), or the path of
            a file: one of torchvision, or a checkpoint of this network.
        grey: sum or repeat: what a grey image meets when `in_channels` is 1, see BackboneClassifier.
        dropout: probability of dropping a feature before the last layer; null = torchvision's (0.2, of resnet34 0).
        freeze: none or backbone, see BackboneClassifier.
        unfreeze_at_epoch: first epoch that trains a frozen backbone, counted from 1; null = never.
        last_conv: dotted name of the module that Grad-CAM looks at; null = the last maps before they are averaged.
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch); null = torchvision's: 0.1, of
            mobilenet_v3_large 0.01, which takes hundreds of steps to settle.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype -> logits (B, num_classes).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.
        ConfigError: an unknown architecture or module; weights that are missing or do not fit.
        ResourceError: published weights are neither in the cache nor to be fetched.

    Source:
        Paper key `cxr_classification`, Table 2; He et al. 2016, arXiv:1512.03385; Howard et al. 2019, arXiv:1905.02244;
        Tan and Le 2019, arXiv:1905.11946.

    Example:
        >>> import torch
        >>> net = TorchvisionClassifier(architecture="mobilenet_v3_large", num_classes=3).eval()
        >>> net(torch.zeros(2, 1, 33, 50)).shape, net.features(torch.zeros(2, 1, 33, 50)).shape
        (torch.Size([2, 3]), torch.Size([2, 1280]))
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 2,
        architecture: Architecture = "resnet34",
        weights: str | None = None,
        grey: Grey = "sum",
        dropout: float | None = None,
        freeze: Freeze = "none",
        unfreeze_at_epoch: int | None = None,
        last_conv: str | None = None,
        bn_momentum: float | None = None,
    ) -> None:
        names = _names(architecture)
        super().__init__(
            in_channels=in_channels,
            num_classes=num_classes,
            grey=grey,
            dropout=names.dropout if dropout is None else dropout,
            freeze=freeze,
            unfreeze_at_epoch=unfreeze_at_epoch,
        )
        self.architecture = architecture
        net = get_model(architecture, weights=None)
        self._fit_stem(net, names.stem)
        features = net.get_submodule(names.classifier).in_features
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d) and bn_momentum is not None:
                module.momentum = bn_momentum
        _cut_off(net, names.classifier)
        self.use(net, features=features, last_conv=last_conv or names.last_conv)
        if weights is not None:
            newest = get_model_weights(architecture).DEFAULT
            self.load(
                read_weights(weights, Download(newest.url), parts=()),
                classifier=names.classifier,
                stem=f"{names.stem}.weight",
                advice=f"Set model.architecture to the network that the file is of (now {architecture})",
            )

    def stages(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the backbone, stage by stage: stem, blocks of one size, what comes after them."""
        if self.architecture == "resnet34":
            names = [("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)]
        else:
            features = self.net.get_submodule("features")
            names = [*((f"features.{name}",) for name, _ in features.named_children()), ("classifier",)]
        return [[p for name in stage for p in self.net.get_submodule(name).parameters()] for stage in names]

    def _fit_stem(self, net: nn.Module, name: str) -> None:
        """Give the first convolution `planes` channels, drawn as torchvision draws it."""
        conv: Any = net.get_submodule(name)
        if conv.in_channels == self.planes:
            return
        fitted = nn.Conv2d(
            self.planes, conv.out_channels, conv.kernel_size, stride=conv.stride, padding=conv.padding, bias=False
        )
        nn.init.kaiming_normal_(fitted.weight, mode="fan_out", nonlinearity="relu")
        net.set_submodule(name, fitted)


def _names(architecture: str) -> _Names:
    """Return where the parts of a network are.

    Raises:
        ConfigError: it is none of the three.
    """
    if architecture not in NAMES:
        near = near_name(architecture, NAMES)
        hint = f"; did you mean {near}?" if near else ". Others are in timm: model=timm model.backbone=..."
        msg = f"model.architecture={architecture} is none of {', '.join(get_args(Architecture))}{hint}"
        raise ConfigError(msg)
    return NAMES[architecture]


def _cut_off(net: nn.Module, classifier: str) -> None:
    """Take the last layer, and the dropout before it, out of a network of torchvision."""
    net.set_submodule(classifier, nn.Identity())
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Dropout):
            net.set_submodule(name, nn.Identity())
