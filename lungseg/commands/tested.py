"""What the verbs that test a network share: what they write of data and network, and what they log."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from lungseg import build
from lungseg.callbacks.per_sample import PerSample
from lungseg.callbacks.per_sample_classes import PerSampleClasses
from lungseg.errors import ConfigError
from lungseg.models.cost import count_macs
from lungseg.run_folder import write_json
from lungseg.types import Part

log = logging.getLogger(__name__)


def require_enough(module: Any, processes: int, *parts: Part) -> None:
    """Raise when a part has fewer images than there are processes.

    Raises:
        ConfigError: names the part.
    """
    for part in dict.fromkeys(parts):
        n = len(module.positions(part))
        if 0 < n < processes:
            msg = (
                f"the {part} part has {n} images and there are {processes} processes, of which each needs one. Set "
                f"trainer.devices to {n} or fewer, or give the part more images (split group)"
            )
            raise ConfigError(msg)


def log_headline(tester: PerSample | PerSampleClasses) -> None:
    """Log the mean Dice of what was tested, by part and structure; of classes macro F1 and accuracy."""
    if tester.frame is None:
        return
    if isinstance(tester, PerSampleClasses):
        for part, sources in tester.parts.items():
            found = sources["all"]["metrics"]
            f1, accuracy = (found[name]["mean"] for name in ("macro_f1", "accuracy"))
            said = ", ".join(
                f"{n} {math.nan if v is None else v:.4f}" for n, v in (("macro F1", f1), ("accuracy", accuracy))
            )
            log.info("%s: %s over %d images", part, said, sources["all"]["n"])
        return
    for (of, structure), rows in tester.frame.groupby(["part", "structure"], sort=False):
        log.info("%s %s: Dice %.4f over %d images", of, structure, rows["dice"].mean(), len(rows))


def write_data(folder: Path, module: Any, facts: dict[str, Any]) -> None:
    """Write data.json and split.parquet; the samples table of a resumed run takes its place."""
    build.keep_table(folder)
    write_json(folder / "data.json", facts)
    table = module.table
    frame = pd.DataFrame({name: table.column(name).to_pylist() for name in ("sample_id", "subject_id", "source")})
    frame["part"] = [module.part_of(i) for i in range(len(frame))]
    frame.to_parquet(folder / "split.parquet", index=False)


def describe(model: torch.nn.Module, size: tuple[int, int]) -> dict[str, Any]:
    """Return name, parameter counts and cost of a network at an input size (height, width)."""
    return {
        "class": type(model).__name__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "in_channels": getattr(model, "in_channels", None),
        "macs": count_macs(model, size),
        "input_size": list(size),
    }
