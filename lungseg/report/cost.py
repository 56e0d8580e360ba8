"""What networks cost beside what they reach."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lungseg.report.blocks import Cell, Column, Table
from lungseg.report.reader import Run
from lungseg.report.results import interval_cell
from lungseg.report.tables import net_name
from lungseg.report.training import seconds_per_epoch
from lungseg.report.wording import capital, count, decimal, listed, metric_name, to_count, to_float


def cost_table(labelled: Mapping[str, Run], metric: str = "dice") -> Table | None:
    """What each network costs beside what it reaches: parameters, multiply-accumulates, seconds.

    Args:
        labelled: runs by their label.
        metric: what it reaches.

    Returns:
        The table; None when of no training run the multiply-accumulates or the seconds are known.
    """
    found = {label: run for label, run in labelled.items() if run.verb == "train"}
    if not any(to_count(run.model.get("macs")) or seconds_per_epoch(run) for run in found.values()):
        return None
    columns = (
        Column("Run", numeric=False),
        Column(capital(metric_name(metric))),
        Column("Parameters"),
        Column("GMAC"),
        Column("Seconds per epoch"),
        Column("Device", numeric=False),
    )
    rows = tuple(
        (
            Cell(label, sub=net_name(run)),
            _main_cell(run, metric),
            Cell(count(to_count(run.model.get("parameters")))),
            Cell(decimal(to_float(run.model.get("macs")) / 1e9, 2), sub=_sides(run.model.get("input_size"))),
            Cell(decimal(seconds_per_epoch(run) or math.nan, 1), sub=_batches(run)),
            Cell(_device(run)),
        )
        for label, run in found.items()
    )
    note = (
        "GMAC = 10⁹ multiply-accumulates of one forward pass of one image at the input size. Seconds per epoch: the "
        "median over the run’s epochs, training and validation; comparable on one device at one batch size only."
    )
    return Table(columns, rows, note=note, sortable=True)


def _main_cell(run: Run, metric: str) -> Cell:
    main = run.main()
    if main is None:
        return Cell("–", tone="muted")
    return interval_cell(main.metric(metric))


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
