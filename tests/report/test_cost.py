"""What networks cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from lungseg.report.cost import cost_table
from lungseg.report.reader import read_run


def test_what_a_net_costs_stands_beside_its_dice(make_run: Callable[..., Path]):
    net = {"macs": 7_812_000_000, "input_size": [300, 340]}
    run = read_run(make_run("a", model=net, parameters=24_430_097, epochs=3))
    assert run.epochs is not None
    run.epochs["seconds"] = [900.0, 50.0, 51.5]  # the first epoch warms up: the median is not moved by it
    table, main = cost_table({"A": run}), run.main()
    assert table is not None
    assert main is not None
    (row,) = table.rows
    dice = f"{main.metric('dice').mean:.4f}"
    assert [cell.text for cell in row] == ["A", dice, "24,430,097", "7.81", "51.5", "AMD EPYC 9V74"]
    assert [row[place].sub for place in (0, 3, 4)] == ["ResUNet", "at 300 x 340", "batches of 4"]


def test_the_device_is_the_gpu_where_the_run_used_one(make_run: Callable[..., Path]):
    run = read_run(make_run("a"))
    two = {**run.env, "hardware": {"cpu": "EPYC", "gpu": ["H100", "H100"]}}
    on_gpu = dataclasses.replace(run, env=two)
    on_cpu = dataclasses.replace(on_gpu, config={**run.config, "trainer": {"accelerator": "cpu"}})
    table = cost_table({"A": on_gpu, "B": on_cpu})
    assert table is not None
    assert [row[-1].text for row in table.rows] == ["H100", "EPYC"]


def test_runs_of_unknown_cost_have_no_table(make_run: Callable[..., Path]):
    evaluation = read_run(make_run("a", verb="evaluate", trained_on=("jsrt",)))
    unknown = dataclasses.replace(read_run(make_run("b")), epochs=None)
    assert cost_table({"A": evaluation, "B": unknown}) is None
