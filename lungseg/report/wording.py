"""How numbers, counts and times are written in a report."""

from __future__ import annotations

import math
from collections.abc import Sequence

DASH = "–"
MINUS = "\N{MINUS SIGN}"

PART_NAMES = {"test": "test", "val": "validation", "train": "training", "unused": "unused"}
SOURCE_NAMES = {
    "jsrt": "JSRT",
    "montgomery": "Montgomery",
    "shenzhen": "Shenzhen",
    "mc_sh": "MC+SH",
    "v7_darwin": "V7 COVID-19 CXR",
    "qatar_covid": "COVID-19 Radiography",
    "covid_qu_ex": "COVID-QU-Ex",
    "covid_radiography": "COVID-19 Radiography",
    "kermany": "Kermany pneumonia",
    "nih_chestxray": "NIH ChestX-ray",
    "phantom": "phantom",
    "all": "all sets",
}
METRIC_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
    "f1": "F1",
    "mse": "MSE of masks",
    "soft_dice": "soft Dice",
    "soft_iou": "soft IoU",
    "tanimoto": "Tanimoto",
    "brier": "Brier score",
    "hd95_mm": "HD95, mm",
    "assd_mm": "ASSD, mm",
    "hd95_px": "HD95, px",
    "assd_px": "ASSD, px",
    "nsd": "NSD",
    "loss": "loss",
    "macro_f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "kappa": "Cohen’s kappa",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "ece": "ECE",
    "seconds": "seconds per epoch",
    "best_epoch": "best epoch",
}
REDUCTIONS = {
    "_pooled": "pooled",
    "_classes": "mean with background",
    "_micro_all": "pooled over all classes",
}
"""How a metric was brought together, by the end of its name; without one it is the mean over images."""


def to_float(value: object) -> float:
    """Read a number from JSON or YAML; anything else is NaN.

    Example:
        >>> to_float("0.5"), to_float(None)
        (nan, nan)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def to_count(value: object) -> int | None:
    """Read a whole number from JSON; anything else is None."""
    number = to_float(value)
    return int(number) if math.isfinite(number) else None


def decimal(value: float, digits: int = 4) -> str:
    """Write a number with fixed decimals, and a dash for NaN.

    Example:
        >>> decimal(0.97125), decimal(float("nan"))
        ('0.9712', '–')
    """
    if not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float, digits: int = 4) -> str:
    """Write a difference with its sign.

    Example:
        >>> signed(0.004)
        '+0.0040'
    """
    return DASH if not math.isfinite(value) else f"{value:+.{digits}f}".replace("-", MINUS)


def span(low: float, high: float, digits: int = 4, *, plus: bool = False) -> str:
    """Write an interval in brackets; empty when it is undefined.

    Example:
        >>> span(0.96, 0.98, 2)
        '[0.96, 0.98]'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    write = signed if plus else decimal
    return f"[{write(low, digits)}, {write(high, digits)}]"


def percent(share: float) -> str:
    """Write a share in whole per cent, and a dash for NaN.

    Example:
        >>> percent(0.754)
        '75 %'
    """
    return f"{100 * share:.0f} %" if math.isfinite(share) else DASH


def count(value: int | None) -> str:
    """Write a count with thousands separated, and a dash for None.

    Example:
        >>> count(13043009)
        '13,043,009'
    """
    return DASH if value is None else f"{value:,}"


def some(number: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun.

    Example:
        >>> some(1, "patient"), some(51, "patient")
        ('1 patient', '51 patients')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Write a time span in the two largest units.

    Example:
        >>> duration(192), duration(0.4)
        ('3 min 12 s', '0.4 s')
    """
    if not math.isfinite(seconds) or seconds < 0:
        return DASH
    if seconds < 9.95:  # from there on it would read 10.0
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    Example:
        >>> listed(["JSRT", "Montgomery", "Shenzhen"])
        'JSRT, Montgomery and Shenzhen'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def part_name(part: str) -> str:
    """Say the part of a split in words: `val` is validation."""
    return PART_NAMES.get(part, part)


def source_name(source: str) -> str:
    """Say a source as it is usually written."""
    return SOURCE_NAMES.get(source, source)


def structure_name(structure: str) -> str:
    """Say a structure in words.

    Example:
        >>> structure_name("right_lung"), structure_name("mean")
        ('right lung', 'mean of structures')
    """
    return "mean of structures" if structure == "mean" else structure.replace("_", " ")


def capital(text: str) -> str:
    """Begin a text with a capital, leaving the rest as it is.

    Example:
        >>> capital("mean IoU")
        'Mean IoU'
    """
    return text[:1].upper() + text[1:]


def metric_name(metric: str) -> str:
    """Say a metric as it is usually written, and how it was brought together.

    Example:
        >>> metric_name("iou_pooled"), metric_name("hd95_mm")
        ('IoU, pooled', 'HD95, mm')
    """
    for end, said in REDUCTIONS.items():
        if (stem := metric.removesuffix(end)) in METRIC_NAMES and stem != metric:
            return f"{METRIC_NAMES[stem]}, {said}"
    return METRIC_NAMES.get(metric, metric.replace("_", " "))
