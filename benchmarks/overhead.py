"""What lungseg's training step costs beyond the arithmetic.

Each Lightning step is paired with a step of a bare PyTorch loop on a twin of the network and the same tensors: the
bare step runs while the Trainer waits for its next batch, so both see the same minute of the machine, and the time of
a Lightning step is the time between two of its requests. "ours" is SegmentationTask with every callback of
conf/callbacks/default.yaml; "stock" is a Trainer without any callback around the shortest possible module.

Usage: python benchmarks/overhead.py [--pairs 7] [--out overhead.json]
"""

from __future__ import annotations

import copy
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import OmegaConf
from paired import arguments, interval, one_thread, report, verdict
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.losses.bce import BCELoss
from lungseg.models.resunet import ResUNet
from lungseg.tasks.segmentation import SegmentationTask

CALLBACKS = Path(__file__).resolve().parents[1] / "conf" / "callbacks" / "default.yaml"
STEPS = {"tiny": 125, "middle": 25, "large": 15}
WARM = 5
# features, side, batch: some 5, 45 and 150 CPU-ms a step
WIDTHS = {"tiny": ((4, 8, 16), 32, 1), "middle": ((8, 16, 32), 64, 4), "large": ((16, 32, 64), 64, 4)}


class Stock(LightningModule):
    """The shortest module that trains the same network."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.model(batch["image"]), batch["mask"].float())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


class Bare:
    """A step of a loop without any framework."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters())

    def step(self, batch: dict[str, Any]) -> None:
        self.optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(self.model(batch["image"]), batch["mask"].float())
        loss.backward()
        self.optimizer.step()


class PairedBatches:
    """Hands out batches; between two of them runs the bare step. Keeps the CPU time of both."""

    def __init__(self, batches: list[dict[str, Any]], steps: int, bare: Bare) -> None:
        self.batches = batches
        self.steps = steps
        self.bare = bare
        self.framework: list[float] = []
        self.loop: list[float] = []

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Any]]:
        left: float | None = None
        for i in range(self.steps):
            batch = self.batches[i % len(self.batches)]
            asked = time.process_time()
            if left is not None:
                self.framework.append(asked - left)
            self.bare.step(batch)
            left = time.process_time()
            self.loop.append(left - asked)
            yield batch


def batches(side: int, size: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.rand(size, 1, side, side, generator=generator),
            "mask": (torch.rand(size, 1, side, side, generator=generator) > 0.7).to(torch.uint8),
            "index": torch.arange(size),
            "sample_id": [f"bench/{i}" for i in range(size)],
            "source": ["bench"] * size,
        }
        for _ in range(8)
    ]


def our_callbacks() -> list[Callback]:
    config = OmegaConf.create({"monitor": "val/dice", "monitor_mode": "max", "callbacks": OmegaConf.load(CALLBACKS)})
    return [instantiate(node, _convert_="all") for node in config.callbacks.values()]


def run(kind: str, width: str) -> tuple[float, float]:
    """CPU seconds of a median step: (framework, bare loop); the first by the median difference to its neighbour."""
    features, side, size = WIDTHS[width]
    torch.manual_seed(0)
    model = ResUNet(features=features)
    data = PairedBatches(batches(side, size), STEPS[width], Bare(copy.deepcopy(model)))
    quiet: dict[str, Any] = {
        "accelerator": "cpu", "max_epochs": 1, "logger": False, "enable_model_summary": False,
        "enable_checkpointing": False, "enable_progress_bar": False, "limit_val_batches": 0,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "stock":
            module: LightningModule = Stock(model)
            trainer = Trainer(default_root_dir=folder, **quiet)
        else:
            module = SegmentationTask(model=model, loss=BCELoss(), optimizer=partial(torch.optim.Adam, lr=1e-3))
            trainer = Trainer(default_root_dir=folder, callbacks=our_callbacks(), **quiet)
        stdout, sys.stdout = sys.stdout, sys.stderr
        try:
            trainer.fit(module, data)
        finally:
            sys.stdout = stdout
    steps = list(zip(data.framework, data.loop, strict=False))[WARM:]
    bare = statistics.median(b for _, b in steps)
    return bare + statistics.median(a - b for a, b in steps), bare


def measure(width: str, pairs: int) -> list[dict[str, Any]]:
    run("ours", width), run("stock", width)
    ours, stock = [], []
    for _ in range(pairs):
        ours.append(run("ours", width))
        stock.append(run("stock", width))

    def row(metric: str, a: list[float], b: list[float], goal: tuple[str, float] | None) -> dict[str, Any]:
        ratios = [x / y for x, y in zip(a, b, strict=True)]
        return {
            "metric": metric,
            "unit": "CPU-ms per step",
            "a": round(1e3 * statistics.median(a), 4),
            "b": round(1e3 * statistics.median(b), 4),
            "ratio": round(statistics.median(ratios), 4),
            "ci95": [round(end, 4) for end in interval(ratios)],
            "pairs": pairs,
            **verdict(statistics.median(ratios), goal),
        }

    step_ms = 1e3 * statistics.median(b for _, b in ours)
    extra = [1e3 * ((a - b) - (c - d)) for (a, b), (c, d) in zip(ours, stock, strict=True)]
    above = statistics.median(extra)
    return [
        row(
            f"our step / bare step, {width} ({step_ms:.0f} ms)",
            [a for a, _ in ours], [b for _, b in ours],
            ("<=", 1.03) if step_ms >= 40 else None,
        ),
        row(
            f"stock Lightning step / bare step, {width} ({step_ms:.0f} ms)",
            [a for a, _ in stock], [b for _, b in stock], None,
        ),
        {
            **row(f"our step / stock Lightning step, {width}", [a for a, _ in ours], [a for a, _ in stock], None),
            "above_stock_ms": round(above, 4),
            "above_stock_ci95_ms": [round(end, 4) for end in interval(extra)],
            # at longer steps half a millisecond is below what two fits differ by
            **verdict(above, ("<=", 0.5) if width == "tiny" else None),
        },
    ]  # fmt: skip


def main() -> int:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    one_thread()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    measures: Callable[[str], list[dict[str, Any]]] = partial(measure, pairs=options.pairs)
    return report([result for width in WIDTHS for result in measures(width)], options.out)


if __name__ == "__main__":
    sys.exit(main())
