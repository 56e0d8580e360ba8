"""An optimiser whose learning rate falls from the last layer of a network to the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torch.optim import Optimizer


class Layerwise:
    """Builds an optimiser with one learning rate for each layer.

    The last layer's is `lr`, that of the layer k places before it

        lr decay^k

    so that a pretrained backbone is moved the less, the nearer a layer is to the image. Any scheduler multiplies or
    replaces the rates of all layers; one with a lower end, such as the cosine's `eta_min`, has the same end for all of
    them, and 0 is the one that keeps their proportions.

    A task hands it the network's `layers()` instead of all parameters, since it has `by_layer`.

    Args:
        optimizer: called with parameter groups and `lr`.
        lr: of the last layer, > 0.
        decay: factor from each layer to the one before it, in (0, 1]; 1 = the same for all.

    Raises:
        ValueError: an argument is out of its range, or the optimiser has a learning rate of its own.

    Source:
        Howard and Ruder 2018, arXiv:1801.06146, section 3.2 (discriminative fine-tuning, there decay = 1 / 2.6).

    Example:
        >>> from torch.optim import SGD
        >>> net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
        >>> layers = [list(layer.parameters()) for layer in net]
        >>> [group["lr"] for group in Layerwise(optimizer=SGD, lr=0.1, decay=0.5)(layers).param_groups]
        [0.1, 0.05]
    """

    by_layer = True

    def __init__(self, *, optimizer: Callable[..., Optimizer], lr: float = 0.001, decay: float = 0.75) -> None:
        if not lr > 0:
            msg = f"lr={lr} must be positive"
            raise ValueError(msg)
        if not 0 < decay <= 1:
            msg = f"decay={decay} is the factor from a layer to the one before it, and must be in (0, 1]"
            raise ValueError(msg)
        if "lr" in getattr(optimizer, "keywords", {}):
            msg = "optimizer.optimizer.lr is set by optimizer.lr and optimizer.decay. Remove it"
            raise ValueError(msg)
        self.optimizer = optimizer
        self.lr = lr
        self.decay = decay

    def __call__(self, layers: Sequence[Sequence[nn.Parameter]]) -> Optimizer:
        """Return the optimiser; its first group is the last layer, whose rate is the one that is told.

        Args:
            layers: parameters of each layer, from the image to the logits.
        """
        groups = [
            {"params": list(layer), "lr": self.lr * self.decay**place} for place, layer in enumerate(reversed(layers))
        ]
        return self.optimizer(groups, lr=self.lr)
