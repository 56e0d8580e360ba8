import logging

import numpy as np

from lungseg.data.balance.base import Balance, different_labels, leave_out
from lungseg.data.balance.none import NoBalance
from tests.data.balance.tables import table, training


def test_without_balancing_nothing_changes():
    samples, parts = table(("a", "x"), ("b", None)), training(2)
    for balance in (Balance(), NoBalance()):
        assert balance.apply(samples, parts, 0) is parts
        assert balance.weights(samples, parts) is None


def test_samples_left_out_become_unused_and_are_told_before_and_after(caplog):
    samples = table(("a", "x"), ("a", "x|y"), ("b", None), ("c", "x"))
    parts = np.array(["train", "train", "train", "test"])
    with caplog.at_level(logging.INFO):
        found = leave_out(samples, parts, [1], "a trial")
    assert found.tolist() == ["train", "unused", "train", "test"]
    assert parts.tolist() == ["train", "train", "train", "test"]
    assert caplog.messages == [
        "balance, a trial: training part before: 3 samples of 2 patients (x 2, y 1); "
        "after: 2 samples of 2 patients (x 1)"
    ]


def test_each_different_label_is_told_once():
    which, texts = different_labels(
        table(("a", "x"), ("b", "y"), ("c", None), ("d", "x|y"), ("e", "x")), np.arange(1, 5)
    )
    assert [texts[place] for place in which] == ["y", None, "x|y", "x"]
    assert len(texts) == 4
    none, texts = different_labels(table(("a", "x")), np.arange(0))
    assert (none.tolist(), texts) == ([], [])
