"""A tiny data set of bright discs on noise, in memory, and a run on it that takes a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Trainer

from lungseg.callbacks.checkpoints import Checkpoints
from lungseg.callbacks.epoch_table import EpochTable
from lungseg.callbacks.per_sample import PerSample
from lungseg.data.augment.affine import Affine
from lungseg.data.datamodule import LungDataModule
from lungseg.data.io import Radiograph
from lungseg.data.normalize import Normalize
from lungseg.data.preprocess.resize import Resize
from lungseg.data.sources.base import Reference, Source, SourceIndex
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable
from lungseg.losses.bce import BCELoss
from lungseg.metrics.summary import summarise as summarised
from lungseg.models.resunet import ResUNet
from lungseg.postprocess.chain import Postprocess
from lungseg.postprocess.threshold import Threshold
from lungseg.tasks.segmentation import SegmentationTask
from lungseg.types import Row


class DiscSource(Source):
    """Discs of 24 x 24 pixels; the disc's place depends on the sample's number."""

    name = "discs"
    title = "discs"
    folder_names = ("discs",)
    home = "computed"

    def __init__(self, *, n: int = 12, deep: bool = False, broken: Sequence[int] = ()) -> None:
        super().__init__()
        self.n = n
        self.deep = deep
        self.broken = tuple(broken)

    def expected_tree(self) -> str:
        return "nothing"

    def is_complete(self, folder: Path) -> bool:
        return True

    def find(self) -> Path:
        return Path("discs")

    def build_index(self, root: Path) -> SourceIndex:
        return SourceIndex(root, [self.row(i) for i in range(self.n)])

    def row(self, i: int) -> Row:
        return Row(
            sample_id=f"discs/{i:03d}", subject_id=f"discs/p{i:03d}", source="discs", image=f"{i}",
            masks={"lungs": f"{i}"}, label=None, view="PA", sex="F", age=50.0, spacing_mm=None, official_split=None,
        )  # fmt: skip

    def fingerprint(self, row: Row) -> str | None:
        return f"{row['sample_id']} deep={self.deep}"

    def _disc(self, i: int) -> np.ndarray:
        y, x = np.mgrid[:24, :24]
        return (y - 8 - i % 7) ** 2 + (x - 8 - i % 5) ** 2 < 25

    def read_image(self, root: Path, row: Row) -> Radiograph:
        from lungseg.errors import DataError

        i = int(row["image"])
        if i in self.broken:
            msg = f"{row['sample_id']} is broken on purpose"
            raise DataError(msg)
        noise = np.random.default_rng(i).integers(0, 80, (24, 24))
        pixels = (noise + 150 * self._disc(i)).astype(np.uint8)
        if self.deep:
            return Radiograph(pixels.astype(np.uint16) * 257, bits=16, inverted=False, note="")
        return Radiograph(pixels, bits=8, inverted=False, note="")

    def read_reference(self, root: Path, row: Row, structures: Sequence[str]) -> Reference:
        return Reference(self._disc(int(row["image"]))[None], 1, 0, 2)


def toy_data(
    folder: Path, *, n: int = 12, workers: int = 0, batch_size: int = 2, val: int = 2, **source: Any
) -> LungDataModule:
    """n discs: the last `val` validate and test, the others train."""
    discs = DiscSource(n=n, **source)
    index = discs.index()
    table = SamplesTable.from_rows(index.rows)
    homes = {"discs": (discs, index.root)}
    store = Store.build(
        table, homes, steps={"resize": Resize(size=(16, 16))}, structures=["lungs"], folder=folder, jobs=1
    )
    parts = np.array(["train"] * (n - val) + ["val"] * val)
    return LungDataModule(
        table=table, parts=parts, store=store, normalize=Normalize(), sources=homes, augment=Affine(),
        batch_size=batch_size, num_workers=workers, seed=0, test_parts=("val",),
    )  # fmt: skip


def toy_task(*, scheduler: Any = None, monitor: str = "val/loss", **task: Any) -> SegmentationTask:
    """A ResUNet of 4 and 8 features with dropout."""
    from functools import partial

    import torch

    torch.manual_seed(0)
    return SegmentationTask(
        model=ResUNet(in_channels=1, features=(4, 8), dropout=0.2), loss=BCELoss(),
        optimizer=partial(torch.optim.Adam, lr=0.01), scheduler=scheduler, monitor=monitor, **task,
    )  # fmt: skip


def toy_trainer(folder: Path, *callbacks: Any, epochs: int = 3, **trainer: Any) -> Trainer:
    """A silent trainer with our checkpoints and epoch table."""
    return Trainer(
        max_epochs=epochs, default_root_dir=str(folder), accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        use_distributed_sampler=False, log_every_n_steps=1, **{"devices": 1, **trainer},
        callbacks=[EpochTable(), *callbacks, Checkpoints(monitor="val/loss", mode="min")],
    )  # fmt: skip


def toy_tester(
    folder: Path, *callbacks: Any, summarise: Any = None, n_boot: int = 20, **trainer: Any
) -> tuple[Trainer, PerSample]:
    """A silent trainer for `test` with our per-sample results."""
    folder.mkdir(parents=True, exist_ok=True)
    tester = PerSample(
        postprocess=Postprocess({"threshold": Threshold()}), summarise=summarise or summarised, n_boot=n_boot,
        facts={"checkpoint": {"file": "checkpoints/best.ckpt"}, "trained_on": ["discs"], "trained_run": None},
    )  # fmt: skip
    made = Trainer(
        default_root_dir=str(folder), accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        callbacks=[tester, *callbacks], **{"devices": 1, **trainer},
    )  # fmt: skip
    return made, tester


def phantom_config(verb: str, run_dir: Path, *overrides: str) -> dict[str, Any]:
    """A verb's config as the command line composes it: phantoms of 32 x 32 and a network of 4 and 8 features."""
    from lungseg.config import compose

    outputs = run_dir.parent
    small = {
        "train": [
            "data.sources.phantom.n=12", "data.sources.phantom.size=[32,32]", "data.batch_size=2",
            "preprocess.steps.resize.size=[32,32]", "model.features=[4,8]", "trainer.max_epochs=2",
            "trainer.accelerator=cpu", "logger=csv", "report=false", "n_boot=20",
        ],
        "evaluate": ["device=cpu", "report=false", "n_boot=20"],
        "predict": ["device=cpu"],
        "prepare": [
            "data.sources.phantom.n=5", "data.sources.phantom.size=[32,32]", "preprocess.steps.resize.size=[32,32]",
            "jobs=1",
        ],
    }  # fmt: skip
    lines = [*small[verb], f"paths.outputs={outputs}", f"paths.store={outputs / 'store'}", *overrides]
    return compose(verb, lines, run_dir=str(run_dir))
