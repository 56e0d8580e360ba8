"""The tables of a classification: results, classes, the images with the highest loss, subgroups."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lungseg.errors import LungsegError
from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.class_scores import class_scores, confusion_of, thresholds_of
from lungseg.report.reader import Run, Scores
from lungseg.report.results import interval_cell
from lungseg.report.tables import TOO_FEW, subgroups_of
from lungseg.report.wording import DASH, capital, count, decimal, metric_name, part_name, some, source_name
from lungseg.stats.case_loss import case_losses
from lungseg.stats.class_bootstrap import Kind, class_intervals

OVERALL = ("macro_f1", "auroc", "accuracy", "balanced_accuracy", "kappa", "average_precision", "ece", "brier")
OF_CLASS = ("f1", "precision", "recall", "specificity", "auroc", "average_precision", "ece", "brier")
WORST = 12


def class_results_table(run: Run, part: str) -> Table | None:
    """All classes together on one part: a row for each source.

    Args:
        run: the run.
        part: `test`, `val`...

    Returns:
        The table; None when the part was not scored. With a single source, its row is the row of all.
    """
    scores = [found for found in run.scores() if found.part == part]
    if not scores:
        return None
    if len({found.source for found in scores} - {"all"}) == 1:
        scores = [found for found in scores if found.source != "all"]
    shown = [name for name in OVERALL if any(name in found.metrics for found in scores)]
    columns = (
        Column("Set", numeric=False),
        Column("Images"),
        *(Column(capital(metric_name(name))) for name in shown),
    )
    rows = tuple(
        (
            Cell(source_name(found.source)),
            Cell(count(found.n), sub=_patients(found)),
            *(interval_cell(found.metric(name)) for name in shown),
        )
        for found in scores
    )
    return Table(columns, rows, caption=f"{capital(part_name(part))} part, all classes", note=_note(run, part))


def classes_table(run: Run, part: str) -> Table | None:
    """Each class against the rest, on all sources of one part.

    Args:
        run: the run.
        part: `test`, `val`...

    Returns:
        The table; None when nothing is known of the classes.
    """
    found = class_scores(run, part)
    if not found:
        return None
    thresholds = thresholds_of(run) if run.kind == "multilabel" else {}
    shown = [name for name in OF_CLASS if any(name in each.metrics for each in found)]
    columns = (
        Column("Class", numeric=False),
        Column("Images of it"),
        *([Column("Threshold")] if thresholds else []),
        *(Column(capital(metric_name(name))) for name in shown),
    )
    rows = tuple(
        (
            Cell(each.name, sub="one kind only" if each.skipped else ""),
            Cell(count(each.n_positive), sub=f"of {count(each.n_known)} known" if run.kind == "multilabel" else ""),
            *([Cell(decimal(thresholds.get(each.name, 0.5), 3))] if thresholds else []),
            *(interval_cell(each.metric(name)) for name in shown),
        )
        for each in found
    )
    return Table(columns, rows, caption=f"{capital(part_name(part))} part, each class against the rest")


def label_counts_table(run: Run, part: str) -> Table | None:
    """Right and wrong predictions of each label of a multilabel; None for a multiclass or without counts."""
    cells = confusion_of(run, part)
    if cells is None or cells.ndim != 3:
        return None
    columns = (
        Column("Label", numeric=False),
        Column("Found"),
        Column("Missed"),
        Column("False alarms"),
        Column("Rightly absent"),
    )
    rows = tuple(
        (Cell(name), Cell(count(int(tp))), Cell(count(int(fn))), Cell(count(int(fp))), Cell(count(int(tn))))
        for name, ((tn, fp), (fn, tp)) in zip(run.classes, cells, strict=True)
    )
    return Table(columns, rows, caption=f"{capital(part_name(part))} part, predictions of each label")


def losses(samples: pd.DataFrame, kind: str, classes: Sequence[str]) -> pd.Series[float]:
    """Loss of each image from its probabilities (see `case_losses`), in the order of the rows."""
    p, truth = (samples[[start + name for name in classes]].to_numpy(dtype=float) for start in ("p_", "t_"))
    return pd.Series(case_losses(p, truth, kind), index=samples.index)


def worst_table(run: Run, part: str) -> Table | None:
    """The images of one part with the highest loss, the highest first; None without images."""
    samples = class_samples(run, part)
    if samples is None:
        return None
    loss = losses(samples, run.kind, run.classes).dropna().sort_values(ascending=False, kind="stable").head(WORST)
    if loss.empty:
        return None
    several = samples["source"].nunique() > 1
    columns = (
        Column("Image", numeric=False),
        *([Column("Set", numeric=False)] if several else []),
        Column("Label", numeric=False),
        Column("Predicted", numeric=False),
        Column("Loss"),
        Column("Probabilities", numeric=False),
    )
    rows = []
    for (_, row), value in zip(samples.loc[loss.index].iterrows(), loss, strict=True):
        top = sorted(run.classes, key=lambda name: -float(row[f"p_{name}"]))[:3]
        said = ", ".join(f"{name} {float(row[f'p_{name}']):.2f}" for name in top)
        rows.append(
            (
                Cell(str(row["sample_id"]).removeprefix(f"{row['source']}/")),
                *([Cell(source_name(str(row["source"])))] if several else []),
                Cell(_names(str(row["label"]))),
                Cell(_names(str(row["predicted"]))),
                Cell(decimal(float(value), 3)),
                Cell(said),
            )
        )
    which = "−ln p of the true class" if run.kind == "multiclass" else "mean binary cross entropy of the known labels"
    caption = f"{capital(part_name(part))} part, the {len(rows)} images with the highest loss"
    return Table(columns, tuple(rows), caption=caption, note=f"Loss: {which}. Wrong labels gather here as well.")


def class_subgroups_table(run: Run, part: str, *, n_boot: int = 2000, seed: int = 0) -> Table | None:
    """Macro F1 and AUROC by sex, age band and view; groups of fewer than 30 images are named and not scored.

    Args:
        run: the run.
        part: part of the split.
        n_boot: number of resamples.
        seed: of the bootstrap.

    Returns:
        The table; None when none of the three is known for any image.
    """
    samples = class_samples(run, part)
    if samples is None:
        return None
    rows: list[tuple[Cell, ...]] = []
    for title, labels, order in subgroups_of(samples):
        for label in order:
            group = samples[labels == label]
            if group.empty:
                continue
            cells = (Cell("too few", sub=f"under {TOO_FEW}", tone="muted"), Cell(DASH, tone="muted"))
            if len(group) >= TOO_FEW:
                cells = _scored(run, group, n_boot, seed)
            rows.append((Cell(title), Cell(label), Cell(count(len(group))), *cells))
        unknown = int(labels.isna().sum())
        if unknown:
            nothing = Cell(DASH, tone="muted")
            rows.append((Cell(title), Cell("not known", tone="muted"), Cell(count(unknown)), nothing, nothing))
    if not rows:
        return None
    columns = (
        Column("By", numeric=False),
        Column("Group", numeric=False),
        Column("Images"),
        Column("Macro F1"),
        Column("AUROC"),
    )
    note = "A class that a group has no image of takes no part in its mean AUROC, so that groups may differ in classes."
    return Table(columns, tuple(rows), caption=f"{capital(part_name(part))} part", note=note)


def class_samples(run: Run, part: str) -> pd.DataFrame | None:
    """The images of one part, where all classes have their columns; None otherwise."""
    frame, classes = run.samples, run.classes
    if frame is None or not classes or any(f"{start}{name}" not in frame for name in classes for start in ("p_", "t_")):
        return None
    rows = frame[frame["part"] == part].reset_index(drop=True)
    return None if rows.empty else rows


def _scored(run: Run, group: pd.DataFrame, n_boot: int, seed: int) -> tuple[Cell, Cell]:
    limits = thresholds_of(run)
    kind: Kind = "multiclass" if run.kind == "multiclass" else "multilabel"
    try:
        found = class_intervals(
            group[[f"p_{name}" for name in run.classes]],
            group[[f"t_{name}" for name in run.classes]],
            group["subject_id"].to_list(),
            kind=kind,
            thresholds=[limits.get(name, 0.5) for name in run.classes],
            n_boot=n_boot,
            seed=seed,
        )
    except LungsegError:  # what a damaged table holds is no probability
        return Cell(DASH, tone="muted"), Cell(DASH, tone="muted")
    return interval_cell(found.overall["macro_f1"]), interval_cell(found.overall["auroc"])


def _names(label: str) -> str:
    """Say a label of the samples table; its names that begin with `?` are not known and are left out."""
    names = [name for name in label.split("|") if name and not name.startswith("?")]
    return ", ".join(names) if names and label != "None" else DASH


def _patients(found: Scores) -> str:
    return "" if found.n_subjects is None else some(found.n_subjects, "patient")


def _note(run: Run, part: str) -> str:
    left = [each.name for each in class_scores(run, part) if each.skipped]
    if not left:
        return ""
    means = "every mean over labels" if run.kind == "multilabel" else "the means of AUROC and average precision"
    return (
        f"{some(len(left), 'class', 'classes')} of {len(run.classes)} left out of {means}, since all images "
        f"here are of one kind: {', '.join(left)}."
    )
