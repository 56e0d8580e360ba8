"""The cross-data-set table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lungseg.report.cross import cross_table
from lungseg.report.reader import read_run


def test_rows_are_trained_on_columns_tested_on(make_run: Callable[..., Path]):
    jsrt = make_run("jsrt", sets={"test": {"jsrt": 8}})
    elsewhere = make_run(
        "ev", verb="evaluate", sets={"test": {"montgomery": 6, "shenzhen": 9}}, trained_run=str(jsrt), dice=0.9
    )
    mc = make_run("mc", name="resunet_mc_sh", sets={"val": {"mc_sh": 7}}, trained_on=("mc_sh",))
    back = make_run("back", verb="evaluate", trained_on=("mc_sh",), trained_run=str(mc), sets={"test": {"jsrt": 5}})
    table = cross_table([read_run(folder) for folder in (jsrt, elsewhere, mc, back)], "lungs")
    assert table is not None
    assert [column.title for column in table.columns] == ["Trained on", "JSRT", "MC+SH", "Montgomery", "Shenzhen"]
    assert [(row[0].text, row[0].sub) for row in table.rows] == [("JSRT", "jsrt"), ("MC+SH", "mc")]
    # trained on JSRT: inside is outlined, outside not, MC+SH was not tested
    assert [cell.ring for cell in table.rows[0][1:]] == [True, False, False, False]
    assert table.rows[0][2].text == "–"
    assert table.rows[0][4].sub.endswith("n = 9")
    assert table.rows[1][2].sub.endswith("n = 7, validation")
    heats = [cell.heat for row in table.rows for cell in row if cell.heat is not None]
    assert (min(heats), max(heats)) == (0, 1)


def test_a_single_set_makes_no_cross_table(make_run: Callable[..., Path]):
    assert cross_table([read_run(make_run("a")), read_run(make_run("b"))], "lungs") is None


def test_a_set_with_other_labels_is_marked_and_explained(make_run: Callable[..., Path]):
    jsrt = make_run("jsrt", sets={"test": {"jsrt": 8}}, convention={"jsrt": "without_heart"})
    sets = {"test": {"montgomery": 6, "v7_darwin": 5}}
    conventions = {"montgomery": "without_heart", "v7_darwin": "with_heart"}
    elsewhere = make_run("ev", verb="evaluate", sets=sets, trained_run=str(jsrt), convention=conventions)
    table = cross_table([read_run(jsrt), read_run(elsewhere)], "lungs")
    assert table is not None
    assert [column.title for column in table.columns][:3] == ["Trained on", "JSRT", "Montgomery"]
    assert ["other labels" in cell.sub for cell in table.rows[0][1:]] == [False, False, True]
    assert "Other labels: the masks define the lungs otherwise" in table.note


def test_sets_of_one_convention_need_no_word(make_run: Callable[..., Path]):
    jsrt = make_run("jsrt", sets={"test": {"jsrt": 8}}, convention="without_heart")
    sets = {"test": {"montgomery": 6}}
    elsewhere = make_run("ev", verb="evaluate", sets=sets, trained_run=str(jsrt), convention="without_heart")
    table = cross_table([read_run(jsrt), read_run(elsewhere)], "lungs")
    assert table is not None
    assert "Other labels" not in table.note
