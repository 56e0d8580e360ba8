"""The map of the features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lungseg.report.embedding import DOTS, _mark, embedding_figure, embedding_table

CLASSES = ("normal", "viral")


def apart(n: int = 20) -> pd.DataFrame:
    """Two labels in two heaps far from each other."""
    label = np.where(np.arange(n) % 2, "viral", "normal")
    spot = np.random.default_rng(0).normal(0, 1, (n, 2)) + 100 * (label == "viral")[:, None]
    return pd.DataFrame({"sample_id": np.arange(n).astype(str), "label": label, "x": spot[:, 0], "y": spot[:, 1]})


def test_labels_that_lie_apart_have_neighbours_of_their_own():
    table = embedding_table(apart(), CLASSES)
    assert table is not None
    # by chance 9 of the 19 others
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["normal", "10", "1.00", "0.47"],
        ["viral", "10", "1.00", "0.47"],
    ]


def test_neighbours_of_many_images_are_found_block_by_block():
    frame = apart(700)
    table = embedding_table(frame, CLASSES)
    assert table is not None
    assert [row[2].text for row in table.rows] == ["1.00", "1.00"]


def test_labels_that_are_mixed_have_neighbours_as_by_chance():
    frame = apart(400).assign(label=np.random.default_rng(1).permutation(apart(400)["label"]))
    table = embedding_table(frame, CLASSES)
    assert table is not None
    assert all(0.4 < float(row[2].text) < 0.6 for row in table.rows)


def test_several_labels_are_one_group():
    frame = apart()
    frame.loc[0, "label"] = "viral|normal"
    table = embedding_table(frame, CLASSES)
    assert table is not None
    assert [row[0].text for row in table.rows] == ["normal", "viral", "several"]


@pytest.mark.parametrize(
    ("label", "group"),
    [
        ("viral|?normal", "viral"), ("?viral|?normal", "none known"), ("None", "none known"), ("", "none known"),
        ("edema", "none of these"), ("edema|viral", "viral"),
    ],
)  # fmt: skip
def test_a_label_is_said_in_one_word(label: str, group: str):
    frame = apart()
    frame.loc[0, "label"] = label
    table = embedding_table(frame, CLASSES)
    assert table is not None
    n = {row[0].text: int(row[1].text) for row in table.rows}
    assert n == {"normal": 9, "viral": 10} | {group: 11 if group == "viral" else 1}


def test_the_map_names_its_labels_and_images():
    figure = embedding_figure(apart(), CLASSES)
    assert figure is not None
    assert ">normal<" in figure.svg
    assert "20 images" in figure.caption


def test_of_very_many_images_some_are_drawn():
    figure = embedding_figure(apart(DOTS + 10), CLASSES)
    assert figure is not None
    assert "1,500 of 1,510 images" in figure.caption


def test_places_that_are_no_numbers_are_left_out():
    assert embedding_figure(apart().assign(x=np.nan), CLASSES) is None
    assert embedding_table(apart(5), CLASSES) is None
    assert embedding_table(apart().assign(label="normal"), CLASSES) is None


def test_several_labels_and_none_of_them_are_told_apart_by_shape():
    labels = ["a", "b", "a|b", "No Finding", "?a", "a|b"]
    frame = pd.DataFrame({"x": range(6), "y": range(6), "label": labels, "sample_id": labels, "part": "test"})
    figure = embedding_figure(frame, ["a", "b"])
    assert figure is not None
    for name in ("a", "b", "several", "none of these", "none known"):
        assert f">{name}</text>" in figure.svg
    marks = [_mark(name, ["a", "b"]) for name in ("a", "b", "several", "none of these", "none known")]
    assert len({mark["marker"] + str(mark.get("markerfacecolor")) for mark in marks}) == 5
