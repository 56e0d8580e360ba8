"""A tiny set of bright and dim discs with labels, in memory, and a classifier of a few weights on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from lungseg.callbacks.per_sample_classes import PerSampleClasses
from lungseg.data.datamodule import LungDataModule
from lungseg.data.io import Radiograph
from lungseg.data.labels import encode_table, leave_out_unknown
from lungseg.data.normalize import Normalize
from lungseg.data.preprocess.resize import Resize
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.metrics.classification_summary import summarise_classes
from lungseg.tasks.classification import ClassificationTask
from lungseg.types import Kind, Row
from tests.toy import DiscSource

LABELS: dict[Kind, tuple[str, ...]] = {
    "multiclass": ("dim", "bright"),
    "multilabel": ("none", "bright", "bright|large", "?bright|large"),
}
CLASSES: dict[Kind, tuple[str, ...]] = {"multiclass": ("dim", "bright"), "multilabel": ("bright", "large")}


class LabelledDiscs(DiscSource):
    """Discs whose brightness and size follow from their labels, which come one after the other."""

    def __init__(self, *, labels: Sequence[str | None], **source: Any) -> None:
        super().__init__(**source)
        self.labels = tuple(labels)

    def row(self, i: int) -> Row:
        return {**super().row(i), "label": self.labels[i % len(self.labels)]}

    def fingerprint(self, row: Row) -> str:
        return f"{super().fingerprint(row)} {row['label']}"

    def read_image(self, root: Path, row: Row) -> Radiograph:
        names = (row["label"] or "").replace("?", "").split("|")
        radius = 9 if "large" in names else 5
        y, x = np.mgrid[:24, :24]
        i = int(row["image"])
        disc = (y - 10 - i % 3) ** 2 + (x - 10 - i % 4) ** 2 < radius**2
        noise = np.random.default_rng(i).integers(0, 60, (24, 24))
        pixels = noise + (190 if "bright" in names else 60) * disc
        return Radiograph(pixels.astype(np.uint8), bits=8, inverted=False, note="")


def toy_classes(
    folder: Path,
    kind: Kind = "multiclass",
    *,
    n: int = 16,
    val: int = 4,
    test: int = 0,
    batch_size: int = 3,
    labels: Sequence[str | None] | None = None,
    classes: Sequence[str] | None = None,
    **module: Any,
) -> LungDataModule:
    """n discs: the last `test` test, the `val` before them validate, the others train."""
    discs = LabelledDiscs(n=n, labels=labels or LABELS[kind])
    index = discs.index()
    table = SamplesTable.from_rows(index.rows)
    homes: Any = {"discs": (discs, index.root)}
    store = Store.build(table, homes, steps={"resize": Resize(size=(16, 16))}, structures=[], folder=folder, jobs=1)
    names = classes or CLASSES[kind]
    encoded = encode_table(table, names, kind)
    parts = np.array(["train"] * (n - val - test) + ["val"] * val + ["test"] * test)
    return LungDataModule(
        table=table, parts=leave_out_unknown(parts, encoded), store=store, normalize=Normalize(), sources=homes,
        batch_size=batch_size, seed=0, test_parts=("test",) if test else ("val",), classes=names, labels=encoded,
        **module,
    )  # fmt: skip


class TinyClassifier(nn.Module):
    """Means over 4 x 4 fields, dropout, one linear layer."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.fields = nn.AdaptiveAvgPool2d(4)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(16, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.drop(self.fields(image).flatten(1)))
        return logits


class SpanClassifier(nn.Module):
    """How far the grey levels of each of 4 x 4 fields reach, and one linear layer: it sees a mark and little else."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.highest = nn.AdaptiveMaxPool2d(4)
        self.head = nn.Linear(16, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        span = self.highest(image) + self.highest(-image)
        logits: Tensor = self.head(span.flatten(1))
        return logits


class TinyLoss(nn.Module):
    """Cross entropy, or binary cross entropy over the labels that are known."""

    kinds = ("multiclass", "multilabel")

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        if label.ndim == 1:
            return nn.functional.cross_entropy(logits, label)
        known = ~label.isnan()
        each = nn.functional.binary_cross_entropy_with_logits(logits, label.nan_to_num(), reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)


class CountingLoss(TinyLoss):
    """Keeps the counts of classes that it was built with."""

    def __init__(self, *, counts: Sequence[Sequence[int]] | None = None) -> None:
        super().__init__()
        self.counts = counts


def toy_classification(kind: Kind = "multiclass", **task: Any) -> ClassificationTask:
    """A classifier of a few weights, from a fixed seed."""
    torch.manual_seed(0)
    classes = task.pop("classes", None) or CLASSES[kind]
    return ClassificationTask(
        model=TinyClassifier(num_classes=len(classes)), loss=TinyLoss(), kind=kind, classes=classes,
        optimizer=partial(torch.optim.Adam, lr=0.05), **task,
    )  # fmt: skip


TINY = ("model={_target_: tests.toy_classes.TinyClassifier}", "loss={_target_: tests.toy_classes.TinyLoss}")


def classes_config(
    verb: str, run_dir: Path, *overrides: str, kind: Kind = "multiclass", net: Sequence[str] = TINY
) -> dict[str, Any]:
    """A verb's config as the command line composes it: labels of 24 phantoms of 32 x 32, and a tiny classifier."""
    from lungseg.config import compose

    outputs = run_dir.parent
    names = {"multiclass": "[normal,lobar,bilateral]", "multilabel": "[lobar,bilateral]"}
    small = {
        "train": [
            "experiment=null", "name=toy", f"task={kind}", f"data.classes={names[kind]}", "data.sources.phantom.n=24",
            "data.sources.phantom.size=[32,32]", "data.batch_size=4", "split.val=0.2", "split.test=0.3",
            "split.train=0.5", "split.stratify=label", "preprocess=xray_cls", "preprocess.steps.resize.size=[32,32]",
            "augment=xray_cls", *net, "trainer.max_epochs=2", "trainer.accelerator=cpu",
            "logger=csv", "report=false", "n_boot=20",
        ],
        "evaluate": ["device=cpu", "report=false", "n_boot=20"],
        "predict": ["device=cpu"],
    }  # fmt: skip
    lines = [*small[verb], f"paths.outputs={outputs}", f"paths.store={outputs / 'store'}", *overrides]
    return compose(verb, lines, run_dir=str(run_dir))


class Tester(NamedTuple):
    """A trainer that tests, and what keeps its results; None where nothing does."""

    trainer: Trainer
    results: PerSampleClasses | None


def class_tester(folder: Path, *callbacks: Callback, kind: Kind = "multiclass", results: bool = True) -> Tester:
    """Return a trainer that tests classes on the CPU, its results in front of other callbacks."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = PerSampleClasses(kind=kind, classes=CLASSES[kind], summarise=summarise_classes, n_boot=5, facts={})
    trainer = Trainer(
        default_root_dir=str(folder), accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        callbacks=[*([kept] if results else []), *callbacks],
    )  # fmt: skip
    return Tester(trainer, kept if results else None)
