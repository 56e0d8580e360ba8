from __future__ import annotations

import logging

import numpy as np
import pytest

from lungseg.data.labels import (
    ClassCount,
    check_classes,
    class_counts,
    count_names,
    encode,
    encode_table,
    label_of,
    leave_out_unknown,
    names_of,
    tokens_of,
)
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError
from lungseg.types import Row

ABC = ("a", "b", "c")


def table(*labels):
    return SamplesTable.from_rows(
        Row(
            sample_id=f"s/{i}", subject_id=f"s/p{i}", source="s", image=f"{i}.png", masks={}, label=label, view=None,
            sex=None, age=None, spacing_mm=None, official_split=None,
        )
        for i, label in enumerate(labels)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("present", "unknown", "text"),
    [(["a"], [], "a"), (["a", "b"], ["c"], "a|b|?c"), ([], [], "none"), ([], ["a"], "none|?a")],
    ids=["one", "several", "nothing", "nothing known for sure"],
)
def test_a_label_is_written_and_read_back(present, unknown, text):
    assert label_of(present, unknown) == text
    assert names_of(text) == (tuple(present), tuple(unknown))


@pytest.mark.parametrize(
    ("text", "said"),
    [("a||b", "empty name"), ("a|?", "empty name"), ("a|?a", "twice"), ("none|a", "says none and names something")],
)
def test_a_label_that_makes_no_sense_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        names_of(text)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("b", [0, 1, 0]),
        ("a|c", [1, 0, 1]),
        ("a|?c", [1, 0, np.nan]),
        ("none", [0, 0, 0]),
        ("none|?b", [0, np.nan, 0]),
        ("elsewhere|b", [0, 1, 0]),
        (None, [np.nan] * 3),
    ],
    ids=["one", "two", "unknown one", "none of them", "unknown only", "a name outside", "no label"],
)
def test_a_multilabel_row_tells_absent_from_unknown(label, expected):
    row = encode(label, ABC, "multilabel")
    assert row.dtype == np.float32
    np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize(("label", "expected"), [("a", 0), (" c ", 2), (None, -1), ("?b", -1)])
def test_a_multiclass_label_is_its_place_or_minus_one_where_unknown(label, expected):
    assert encode(label, ABC, "multiclass") == expected


def test_no_finding_is_a_name_as_any_other_and_none_is_not():
    assert encode("No Finding", ("No Finding", "Mass"), "multiclass") == 0
    assert encode("No Finding", ("No Finding", "Mass"), "multilabel").tolist() == [1, 0]
    with pytest.raises(DataError, match="'none', which is none of"):
        encode("none", ABC, "multiclass")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("normel", "s/7 is labelled 'normel', which is none of data.classes=[normal,ill]. Did you mean 'normal'"),
        ("normal|ill", "s/7 is labelled 'normal|ill': several classes at once"),
        ("normal||ill", "s/7: the label 'normal||ill' has an empty name"),
    ],
)
def test_a_wrong_multiclass_label_names_the_sample(label, said):
    with pytest.raises(DataError) as caught:
        encode(label, ("normal", "ill"), "multiclass", sample_id="s/7")
    assert said in str(caught.value)


def test_a_table_is_encoded_in_its_order():
    multiclass = encode_table(table("b", None, "a"), ABC, "multiclass")
    assert (multiclass.dtype, multiclass.tolist()) == (np.int64, [1, -1, 0])
    multilabel = encode_table(table("b|c", None), ABC, "multilabel")
    assert multilabel.dtype == np.float32
    np.testing.assert_array_equal(multilabel, [[0, 1, 1], [np.nan] * 3])


def test_labels_that_fit_no_class_are_collected_with_their_count():
    wrong = [f"x{i}" for i in range(6)]
    with pytest.raises(DataError, match="7 of 8 samples have 6 labels that fit no class") as caught:
        encode_table(table("a", *wrong, "x0"), ABC, "multiclass")
    assert "s/1 is labelled 'x0'" in str(caught.value)
    assert "and 1 labels more" in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([], "must list the names"),
        ("normal", "must list the names"),
        ([0, 1], "must list the names"),
        (["a", "b", "a"], "names a more than once"),
        (["a|b"], "holds 'a|b'"),
        (["?a"], "holds '?a'"),
        (["none"], "holds 'none'"),
        ([" a"], "holds ' a'"),
    ],
    ids=str,
)
def test_class_names_that_no_label_could_hold_are_refused(classes, said):
    with pytest.raises(ConfigError) as caught:
        check_classes(classes)
    assert said in str(caught.value)


def test_samples_without_a_label_are_left_out_and_counted(caplog):
    parts = np.array(["train", "train", "val", "unused"])
    with caplog.at_level(logging.WARNING):
        found = leave_out_unknown(parts, np.array([0, -1, 1, -1]))
    assert found.tolist() == ["train", "unused", "val", "unused"]
    assert parts.tolist() == ["train", "train", "val", "unused"]
    assert caplog.messages == ["1 of 2 samples of the train part have no label and are left out"]


def test_a_multilabel_sample_stays_as_long_as_one_label_is_known():
    nan = np.nan
    labels = np.array([[nan, nan], [nan, 0]], np.float32)
    assert leave_out_unknown(np.array(["val", "val"]), labels).tolist() == ["unused", "val"]


def test_classes_are_counted_in_every_part():
    labels = encode_table(table("a", "a|b", "?a", None), ("a", "b"), "multilabel")
    parts = np.array(["train", "train", "train", "test"])
    assert class_counts(labels, ("a", "b"), parts) == {
        "train": {"a": ClassCount(2, 0, 1), "b": ClassCount(1, 2, 0)},
        "test": {"a": ClassCount(0, 0, 1), "b": ClassCount(0, 0, 1)},
    }


def test_classes_of_a_multiclass_set_are_counted_as_well():
    labels = np.array([0, 1, 1, -1])
    assert class_counts(labels, ("x", "y")) == {"all": {"x": ClassCount(1, 2, 1), "y": ClassCount(2, 1, 1)}}


@pytest.mark.parametrize(
    ("label", "tokens"),
    [
        ("a|b", ("a", "b")),
        ("a|?b", ("a",)),
        ("none", ("none",)),
        ("?a", ()),
        ("none|?a", ()),
        (None, ()),
        ("||", ("||",)),
    ],
)
def test_names_are_counted_as_they_stand(label, tokens):
    assert tokens_of(label) == tokens


def test_names_are_counted_over_labels():
    assert count_names(["x", "x|y", "x|?y", "none", None]) == {"x": 3, "y": 1, "none": 1}
