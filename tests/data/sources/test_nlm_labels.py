from __future__ import annotations

from lungseg.data.sources.nlm_labels import read_labels


def test_without_a_table_nothing_is_known(tmp_path):
    assert read_labels(tmp_path / "inner") == {}


def test_empty_cells_are_unknown(tmp_path):
    (tmp_path / "labels.csv").write_text("file,sex,age\na.png,,\nb.png,F,30\n")
    assert read_labels(tmp_path) == {"a": (None, None), "b": ("F", 30.0)}
