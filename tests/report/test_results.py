"""Tables of one run's results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from lungseg.report.blocks import Table
from lungseg.report.reader import Run, read_run
from lungseg.report.results import boundary_table, pixels_table, results_table


def test_a_single_set_has_one_row_and_several_have_one_for_all(make_run: Callable[..., Path]):
    one = results_table(read_run(make_run("a")), "test")
    two = results_table(read_run(make_run("b", sets={"test": {"montgomery": 4, "shenzhen": 6}})), "test")
    assert one is not None
    assert two is not None
    assert [row[0].text for row in one.rows] == ["JSRT"]
    assert [row[0].text for row in two.rows] == ["all sets", "Montgomery", "Shenzhen"]
    assert [row[1].text for row in two.rows] == ["10", "4", "6"]


def test_a_part_that_was_not_scored_has_no_table(make_run: Callable[..., Path]):
    assert results_table(read_run(make_run()), "val") is None


def measured(folder: Path, known: Mapping[str, int], *, tolerance_mm: float | None = 2.0) -> Run:
    """The run with outlines and probabilities; `known` is source -> images whose pixel size is known."""
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["tolerance_mm"] = tolerance_mm
    for source, structures in metrics["parts"]["test"].items():
        for block in structures.values():
            n, n_mm = block["n"], known.get(source, 0)
            values = {
                "hd95_px": (31.25, n), "assd_px": (7.5, n), "hd95_mm": (10.9375, n_mm), "assd_mm": (2.625, n_mm),
                "nsd": (0.625, n_mm), "soft_dice": (0.9625, n), "brier": (0.0125, n), "specificity": (0.99, n),
            }  # fmt: skip
            nothing = {"mean": None, "sd": None, "low": None, "high": None, "n": 0}
            block["metrics"] |= {
                name: {"mean": mean, "sd": 0.0, "low": mean, "high": mean, "n": number} if number else nothing
                for name, (mean, number) in values.items()
            }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return read_run(folder)


def told(table: Table | None) -> list[dict[str, str]]:
    """Each row by its columns' titles."""
    assert table is not None
    titles = [column.title for column in table.columns]
    return [dict(zip(titles, (cell.text for cell in row), strict=True)) for row in table.rows]


def test_outlines_are_in_millimetres_where_every_size_is_known(make_run: Callable[..., Path]):
    run = measured(make_run(), {"all": 51, "jsrt": 51})
    table = boundary_table(run, "test")
    assert told(table) == [
        {
            "Set": "JSRT", "Images": "51", "HD95, mm": "10.94", "ASSD, mm": "2.62", "NSD at 2 mm": "0.6250",
            "Soft Dice": "0.9625", "Brier score": "0.0125",
        }
    ]  # fmt: skip
    assert table is not None
    assert (table.rows[0][1].sub, table.rows[0][2].sub) == ("51 in mm", "[10.94, 10.94]")
    assert table.caption == "Test part, lungs: outlines and probabilities"
    assert "within 2 mm of the other" in table.note
    assert "px:" not in table.note


def test_outlines_are_in_pixels_where_no_size_is_known(make_run: Callable[..., Path]):
    table = boundary_table(measured(make_run(), {}), "test")
    (row,) = told(table)
    assert list(row) == ["Set", "Images", "HD95, px", "ASSD, px", "Soft Dice", "Brier score"]
    assert (row["HD95, px"], row["ASSD, px"]) == ("31.25", "7.50")
    assert table is not None
    assert "px: pixels of the mask as published" in table.note
    assert "NSD" not in table.note


def test_where_some_sizes_are_known_both_units_are_shown_with_their_numbers(make_run: Callable[..., Path]):
    folder = make_run(sets={"test": {"montgomery": 4, "shenzhen": 6}})
    table = boundary_table(measured(folder, {"all": 4, "montgomery": 4}), "test")
    rows = told(table)
    assert [row["Set"] for row in rows] == ["all sets", "Montgomery", "Shenzhen"]
    assert [row["HD95, mm"] for row in rows] == ["10.94", "10.94", "–"]
    assert [row["HD95, px"] for row in rows] == ["31.25"] * 3
    assert table is not None
    assert [row[1].sub for row in table.rows] == ["4 in mm", "4 in mm", "0 in mm"]


def test_a_tolerance_that_the_run_does_not_say_is_not_made_up(make_run: Callable[..., Path]):
    table = boundary_table(measured(make_run(), {"all": 51, "jsrt": 51}, tolerance_mm=None), "test")
    assert "NSD" in told(table)[0]
    assert table is not None
    assert "within the tolerance of the other" in table.note


def test_probabilities_are_shown_without_outlines(make_run: Callable[..., Path]):
    folder = make_run()
    metrics = json.loads((folder / "metrics.json").read_text())
    for block in metrics["parts"]["test"].values():
        block["lungs"]["metrics"]["brier"] = {"mean": 0.25, "low": 0.2, "high": 0.3, "sd": 0.1, "n": 51}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    table = boundary_table(read_run(folder), "test")
    assert told(table) == [{"Set": "JSRT", "Images": "51", "Brier score": "0.2500"}]
    assert table is not None
    assert "HD95" not in table.note


def test_a_run_that_measured_neither_has_no_such_table(make_run: Callable[..., Path]):
    run = read_run(make_run())
    assert boundary_table(run, "test") is None
    assert boundary_table(run, "val") is None


def test_shares_of_pixels_have_a_table_of_their_own(make_run: Callable[..., Path]):
    folder = make_run()
    metrics = json.loads((folder / "metrics.json").read_text())
    for block in metrics["parts"]["test"].values():
        block["lungs"]["metrics"]["dice_classes"] = {"mean": 0.75, "low": 0.7, "high": 0.8, "sd": 0.1, "n": 51}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    run = read_run(folder)
    (overlap,), (pixels,) = told(results_table(run, "test")), told(pixels_table(run, "test"))
    assert [title for title in overlap if title.startswith(("Dice", "IoU"))] == [
        "Dice", "Dice, pooled", "IoU", "IoU, pooled",
    ]  # fmt: skip
    assert pixels["Dice, mean with background"] == "0.7500"
    assert list(pixels)[:4] == ["Set", "Images", "Accuracy", "Precision"]


def test_every_row_is_as_wide_as_its_head(make_run: Callable[..., Path]):
    run = measured(make_run(structures=("lungs", "heart")), {"all": 51})
    for table in (results_table(run, "test"), pixels_table(run, "test"), boundary_table(run, "test")):
        assert table is not None
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_empty_missed_and_false_masks_are_counted_in_one_place(make_run: Callable[..., Path]):
    folder = make_run()
    metrics = json.loads((folder / "metrics.json").read_text())
    for block in metrics["parts"]["test"].values():
        block["lungs"] |= {"n_empty": 3, "n_missed": 1, "n_false": 0}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    table = results_table(read_run(folder), "test")
    assert told(table)[0]["Empty, missed, false"] == "3, 1, 0"
    assert table is not None
    assert table.rows[0][-1].tone == "warn"
