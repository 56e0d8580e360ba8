"""Reading run folders, whole and damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lungseg.errors import ConfigError
from lungseg.report.reader import read_run

FILES = ["config.yaml", "env.json", "data.json", "model.json", "metrics.json", "epochs.csv", "per_sample.parquet"]


def test_a_whole_run_is_read_without_a_note(make_run: Callable[..., Path]):
    run = read_run(make_run())
    assert run.notes == ()
    assert (run.name, run.verb, run.state) == ("resunet_jsrt", "train", "done")
    assert run.get("trainer.max_epochs") == 20
    assert run.get("trainer.nothing.there", 7) == 7
    assert run.trained_on() == ("jsrt",)


def test_scores_come_test_first_and_all_sources_first(make_run: Callable[..., Path]):
    sets = {"val": {"jsrt": 5}, "test": {"montgomery": 4, "shenzhen": 6}}
    found = [(scores.part, scores.source) for scores in read_run(make_run(sets=sets)).scores()]
    assert found == [("test", "all"), ("test", "montgomery"), ("test", "shenzhen"), ("val", "all"), ("val", "jsrt")]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "web page"])
def test_a_damaged_file_gives_a_note_and_the_rest_is_read(make_run: Callable[..., Path], name: str, damage: str):
    folder = make_run(overlays=False)
    (folder / "overlays").mkdir()
    (folder / "overlays" / "index.json").write_text("[]")
    content = (folder / name).read_bytes()
    if damage == "missing":
        (folder / name).unlink()
    else:
        page = b"<!doctype html><p>404"
        (folder / name).write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "web page": page}[damage])
    run = read_run(folder)
    if (name, damage) in (("epochs.csv", "truncated"), ("config.yaml", "truncated")):
        assert run.state == "done"  # half a table of rows, and often half a YAML file, still says something
        return
    assert len(run.notes) == 1
    assert run.notes[0].startswith(name)


def test_json_of_another_kind_is_damage(make_run: Callable[..., Path]):
    folder = make_run()
    (folder / "metrics.json").write_text("[1, 2]")
    run = read_run(folder)
    assert run.notes == ("metrics.json is damaged and was left out (it holds list, not named values).",)
    assert run.main() is None


def test_scores_of_another_kind_are_undefined(make_run: Callable[..., Path]):
    folder = make_run()
    odd = {"n": "many", "metrics": {"dice": {"mean": "good"}, "iou": 3}}
    (folder / "metrics.json").write_text(json.dumps({"parts": {"test": {"all": {"lungs": odd}}, "val": 4}}))
    (scores,) = read_run(folder).scores()
    assert scores.n is None
    assert math.isnan(scores.metric("dice").mean)
    assert math.isnan(scores.metric("never measured").low)


def test_an_epoch_written_twice_counts_once_as_the_later(make_run: Callable[..., Path]):
    folder = make_run()
    (folder / "epochs.csv").write_text("epoch,val/dice\n1,0.5\n2,0.6\n2,0.7\n")
    epochs = read_run(folder).epochs
    assert epochs is not None
    assert epochs["val/dice"].to_list() == [0.5, 0.7]


def test_an_unfinished_run_is_not_blamed_for_what_it_could_not_write(make_run: Callable[..., Path]):
    assert read_run(make_run(state="failed", error="x")).notes == ()


def test_an_evaluation_needs_no_epochs(make_run: Callable[..., Path]):
    assert read_run(make_run(verb="evaluate")).notes == ()


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="is not a run folder"):
        read_run(tmp_path)
