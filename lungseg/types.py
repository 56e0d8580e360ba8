"""Types that cross the borders between the rooms of lungseg."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from torch import Tensor

Part = Literal["train", "val", "test", "unused"]
"""The part of a split a sample belongs to."""

Activation = Literal["sigmoid", "softmax"]
"""K independent logits, or K + 1 of which the first is the background's."""
MemoryFormat = Literal["contiguous", "channels_last"]
Kind = Literal["multiclass", "multilabel"]
"""What a classifier says of an image: one class of several, or yes or no to each label."""


def channels(activation: str, structures: int) -> int:
    """Return the logit maps that a network needs: K for sigmoids, K + 1 for a softmax, background first.

    Example:
        >>> channels("sigmoid", 2), channels("softmax", 2)
        (2, 3)
    """
    return structures + (activation == "softmax")


class Row(TypedDict):
    """One radiograph in the samples table; None = unknown. Paths are relative to the source's root."""

    sample_id: str
    subject_id: str
    source: str
    image: str
    masks: dict[str, str]
    label: str | None
    view: str | None
    sex: str | None
    age: float | None
    spacing_mm: tuple[float, float] | None
    official_split: str | None


class Batch(TypedDict):
    """What a datamodule hands to a task.

    image: (B, C, H, W) float32, normalised. mask: (B, K, H, W) uint8 in {0, 1}. valid: (B, 1, H, W) uint8, 0 = left
    out of loss and counts. label: (B,) int64, or (B, L) float32 with NaN = unknown. index: (B,) int64, the row of
    each sample in the samples table. share: the weight of the batch's mean loss beside those of other processes.
    """

    image: Tensor
    mask: NotRequired[Tensor]
    valid: NotRequired[Tensor]
    label: NotRequired[Tensor]
    index: Tensor
    sample_id: list[str]
    source: list[str]
    share: NotRequired[float]
