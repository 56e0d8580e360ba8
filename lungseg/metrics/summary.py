"""The table of results: means and pooled values of each part, source and structure, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from lungseg.metrics import soft
from lungseg.metrics.boundary import Boundary
from lungseg.metrics.overlap import PER_IMAGE, all_classes, over_classes, ratios
from lungseg.stats.bootstrap import mean_interval, pooled_interval

COUNTS = ["tp", "fp", "fn", "tn"]
SUMS = ["sum_pt", "sum_p", "sum_pp"]
"""Columns of the sums of `lungseg.metrics.soft` that do not follow from the counts."""
MEAN = "mean"
"""Key of the mean over structures, beside the structures."""
_NEEDED = ["part", "source", "sample_id", "subject_id", "structure", *COUNTS]
_ALL = "all"

_Values = npt.NDArray[np.float64]
_Ratio = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def summarise(
    frame: pd.DataFrame,
    *,
    n_boot: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    average: Literal["images", "classes"] = "images",
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Summarise the counts of every image, as the `parts` of metrics.json.

    Every value is computed from the counts, from the sums of the probabilities and from the distances of the outlines;
    columns such as `dice` are not read. For each part, `all` sources together and each source, and each structure:

        n, n_subjects       images and patients
        n_empty             reference and prediction both empty: Dice undefined, left out of its mean
        n_missed            reference not empty, nothing predicted: Dice 0
        n_false             reference empty, something predicted: Dice 0
        metrics.<name>      mean, sd (n - 1) over the images where it is defined, n of them, and low, high = percentile
                            bootstrap interval over patients. From the counts dice, iou, accuracy, precision, recall,
                            specificity, f1, mse; from the probabilities soft_dice, soft_iou, tanimoto, brier; from the
                            outlines hd95_px, assd_px and, where the size of a pixel is known, hd95_mm, assd_mm, nsd
        metrics.<name>_classes      with average=classes: dice, iou, precision, recall as the mean over the structure
                            and the background of each image, then over images
        metrics.<name>_pooled       dice, iou, precision, recall of the counts summed over images: mean, low, high
        metrics.<name>_micro_all    dice, iou, precision, recall, f1 of the counts summed over the classes, background
                            included, and over images; all but iou are the share of right pixels. tanimoto likewise

    With several structures there is one key more, `mean`: each value is the mean over the structures of an image where
    it is defined, then over images. There `_pooled` adds the counts of all structures up, `_micro_all` takes each
    combination of structures at a pixel as one class (of exclusive structures: K + 1 classes), and n_empty, n_missed
    and n_false are sums over the structures.

    Args:
        frame: one row for each image and structure, with the columns part, source, sample_id, subject_id, structure,
            tp, fp, fn, tn (pixels); sum_pt, sum_p, sum_pp, those of `Boundary.columns` and n_right (pixels where
            every structure is right) where they were measured.
        n_boot: bootstrap resamples.
        seed: of the resampling.
        level: of the interval.
        average: `images` scores the structure in each image, `classes` scores the background beside it as well.

    Returns:
        {part: {"all" or source: {structure: {...}}}} of plain numbers; None where a value is undefined, as JSON has
        no NaN. Parts, sources and structures keep the order of the frame.

    Raises:
        ValueError: a column is missing, a source is called "all", a structure "mean", a sample comes twice for one
            structure, or `average` is neither.
    """
    _check(frame, average)
    boot = {"n_boot": n_boot, "seed": seed, "level": level}
    parts: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for part in frame["part"].unique():
        of_part = frame[frame["part"] == part]
        groups = {_ALL: of_part}
        groups |= {str(source): of_part[of_part["source"] == source] for source in of_part["source"].unique()}
        parts[str(part)] = {name: _summarise_group(group, average, boot) for name, group in groups.items()}
    return parts


def soft_sums_of(frame: pd.DataFrame) -> soft.Sums:
    """Return the sums of `lungseg.metrics.soft` of each row, (n, 5), from the columns of counts and sums."""
    tp, fp, fn, tn = frame[COUNTS].to_numpy(dtype=np.float64).T
    pt, p, pp = frame[SUMS].to_numpy(dtype=np.float64).T
    return np.stack((pt, p, tp + fn, pp, tp + fp + fn + tn), axis=-1)


def _summarise_group(group: pd.DataFrame, average: str, boot: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Summarise one part and source: each structure, and their mean where there are several."""
    blocks = {}
    for structure in group["structure"].unique():
        rows = group[group["structure"] == structure]
        ratios_of = _pooled(rows) | _both_classes(rows)
        blocks[str(structure)] = _block(rows, rows, _values(rows, average), ratios_of, boot)
    if len(blocks) > 1:
        images = group.drop_duplicates("sample_id")
        image, _ = pd.factorize(group["sample_id"])
        means = pd.DataFrame(_values(group, average)).groupby(image).mean()
        pooled: dict[str, _Ratio] = {
            name: (np.bincount(image, weights=above), np.bincount(image, weights=below))
            for name, (above, below) in _pooled(group).items()
        }
        values = {str(name): means[name].to_numpy(dtype=np.float64) for name in means}
        blocks[MEAN] = _block(group, images, values, pooled | _combinations(images, len(blocks)), boot)
    return blocks


def _values(rows: pd.DataFrame, average: str) -> dict[str, _Values]:
    """The value of each row, by metric."""
    counts: npt.NDArray[np.int64] = rows[COUNTS].to_numpy(dtype=np.int64)
    values = {name: measure(counts) for name, measure in PER_IMAGE.items()}
    if _has(rows, SUMS):
        sums = soft_sums_of(rows)
        values |= {name: measure(sums) for name, measure in soft.SOFT.items()}
    values |= {name: rows[name].to_numpy(dtype=np.float64) for name in Boundary.columns if name in rows}
    if average == "classes":
        values |= {f"{name}_classes": over_classes(PER_IMAGE[name], counts) for name in ratios(counts)}
    return values


def _pooled(rows: pd.DataFrame) -> dict[str, _Ratio]:
    """Numerator and denominator of each row, by pooled metric."""
    return {f"{name}_pooled": ratio for name, ratio in ratios(rows[COUNTS].to_numpy(dtype=np.int64)).items()}


def _both_classes(rows: pd.DataFrame) -> dict[str, _Ratio]:
    """The same over a structure and its background."""
    tp, fp, fn, tn = rows[COUNTS].to_numpy(dtype=np.int64).T
    found = _micro_all(tp + tn, tp + fp + fn + tn, 2)
    if _has(rows, SUMS):
        sums = soft_sums_of(rows)
        one, other = soft.tanimoto_ratio(sums), soft.tanimoto_ratio(soft.complement(sums))
        found["tanimoto_micro_all"] = (one[0] + other[0], one[1] + other[1])
    return found


def _combinations(images: pd.DataFrame, structures: int) -> dict[str, _Ratio]:
    """The same over all structures and the background, where the pixels that are right in all were counted."""
    if not _has(images, ["n_right"]):
        return {}
    pixels = images[COUNTS].to_numpy(dtype=np.int64).sum(axis=1)
    return _micro_all(images["n_right"].to_numpy(dtype=np.int64), pixels, structures + 1)


def _micro_all(right: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64], num_classes: int) -> dict[str, _Ratio]:
    found: dict[str, _Ratio] = {
        f"{name}_micro_all": ratio
        for name, ratio in ratios(all_classes(right, pixels, num_classes=num_classes)).items()
    }
    return found | {"f1_micro_all": found["dice_micro_all"]}


def _block(
    rows: pd.DataFrame,
    images: pd.DataFrame,
    values: Mapping[str, _Values],
    pooled: Mapping[str, _Ratio],
    boot: Mapping[str, Any],
) -> dict[str, Any]:
    """Put one entry of metrics.json together.

    Args:
        rows: one per image and structure, whose empty masks are counted.
        images: one row per image, for its patient.
        values: metric -> value of each image.
        pooled: metric -> numerator and denominator of each image.
        boot: n_boot, seed and level.
    """
    subjects = images["subject_id"].to_numpy(dtype=object)
    tp, fp, fn, _ = rows[COUNTS].to_numpy(dtype=np.int64).T
    no_reference, no_prediction = tp + fn == 0, tp + fp == 0
    metrics: dict[str, dict[str, float | int | None]] = {}
    for name, each in values.items():
        found = mean_interval(each, subjects, **boot)
        metrics[name] = {
            "mean": _json(found.mean),
            "sd": _json(found.sd),
            "low": _json(found.low),
            "high": _json(found.high),
            "n": found.n,
        }
    for name, (above, below) in pooled.items():
        whole = pooled_interval(above, below, subjects, **boot)
        metrics[name] = {"mean": _json(whole.mean), "low": _json(whole.low), "high": _json(whole.high)}
    return {
        "n": len(images),
        "n_subjects": int(images["subject_id"].nunique()),
        "n_empty": int((no_reference & no_prediction).sum()),
        "n_missed": int((~no_reference & no_prediction).sum()),
        "n_false": int((no_reference & ~no_prediction).sum()),
        "metrics": metrics,
    }


def _has(rows: pd.DataFrame, columns: list[str]) -> bool:
    return all(name in rows for name in columns)


def _check(frame: pd.DataFrame, average: str) -> None:
    if average not in ("images", "classes"):
        msg = f"metrics.summary.average={average} must be images or classes"
        raise ValueError(msg)
    missing = [name for name in _NEEDED if name not in frame.columns]
    if missing:
        msg = f"per-sample table has no column {', '.join(missing)}; it needs {', '.join(_NEEDED)}"
        raise ValueError(msg)
    if (frame["source"] == _ALL).any():
        msg = f"a source is called {_ALL!r}, which is the key of all sources together; rename it under data.sources"
        raise ValueError(msg)
    if (frame["structure"] == MEAN).any():
        msg = f"a structure is called {MEAN!r}, which is the key of the mean over structures; rename it"
        raise ValueError(msg)
    twice = frame[frame.duplicated(["part", "sample_id", "structure"])]
    if len(twice):
        names = ", ".join(twice["sample_id"].astype(str).head(5))
        msg = f"{len(twice)} rows repeat a sample of the same part and structure: {names}. Count each image once"
        raise ValueError(msg)


def _json(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
