"""What networks cost beside what they reach."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.reader import Run
from lungseg.report.results import interval_cell
from lungseg.report.tables import net_name
from lungseg.report.wording import count, decimal, listed, to_count, to_float


def cost_table(labelled: Mapping[str, Run]) -> Table | None:
    """What each network costs beside what it reaches: parameters, multiply-accumulates, seconds.

    Args:
        labelled: runs by their label.

    Returns:
        The table; None when of no training run the multiply-accumulates or the seconds are known.
    """
    found = {label: run for label, run in labelled.items() if run.verb == "train"}
    if not any(to_count(run.model.get("macs")) or _seconds(run) for run in found.values()):
        return None
    columns = (
        Column("Run", numeric=False),
        Column("Dice"),
        Column("Parameters"),
        Column("GMAC"),
        Column("Seconds per epoch"),
        Column("Device", numeric=False),
    )
    rows = tuple(
        (
            Cell(label, sub=net_name(run)),
            _dice(run),
            Cell(count(to_count(run.model.get("parameters")))),
            Cell(decimal(to_float(run.model.get("macs")) / 1e9, 2), sub=_sides(run.model.get("input_size"))),
            Cell(decimal(_seconds(run) or math.nan, 1), sub=_batches(run)),
            Cell(_device(run)),
        )
        for label, run in found.items()
    )
    note = (
        "GMAC = 10⁹ multiply-accumulates of one forward pass of one image at the input size. Seconds per epoch: the "
        "median over the run’s epochs, training and validation; comparable on one device at one batch size only."
    )
    return Table(columns, rows, note=note, sortable=True)


def _dice(run: Run) -> Cell:
    main = run.main()
    if main is None:
        return Cell("–", tone="muted")
    return interval_cell(main.metric("dice"))


def _seconds(run: Run) -> float | None:
    """Median seconds of an epoch."""
    if run.epochs is None or "seconds" not in run.epochs:
        return None
    median = float(run.epochs["seconds"].median())
    return median if median > 0 else None


def _batches(run: Run) -> str:
    size = to_count(run.get("data.batch_size"))
    return "" if size is None else f"batches of {size}"


def _sides(size: object) -> str:
    if not isinstance(size, list) or not size:
        return ""
    return "at " + " x ".join(count(to_count(side)) for side in size)


def _device(run: Run) -> str:
    hardware = run.env.get("hardware")
    known = hardware if isinstance(hardware, Mapping) else {}
    gpus = known.get("gpu")
    on_cpu = run.get("trainer.accelerator") == "cpu"
    names = list(dict.fromkeys(str(name) for name in gpus)) if isinstance(gpus, list) and not on_cpu else []
    return listed(names) or str(known.get("cpu") or "–")
