"""Drawings of a classification."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from lungseg.report.class_figures import (
    confusion_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)

CLASSES = ("a", "b")


def samples(n: int = 40, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    p = np.clip(0.3 + 0.4 * truth + generator.normal(0, 0.2, n), 0, 1)
    return pd.DataFrame({"p_a": 1 - p, "p_b": p, "t_a": 1.0 - truth, "t_b": 1.0 * truth})


def test_a_confusion_matrix_says_counts_and_shares_of_its_rows():
    figure = confusion_figure(np.array([[3, 1], [0, 6]]), CLASSES)
    assert figure is not None
    said = re.findall(r">([^<>]+)</text>", figure.svg)
    assert {"3", "75 %", "1", "25 %", "0", "0 %", "6", "100 %"} <= set(said)
    assert figure.caption.startswith("Confusion matrix: 9 of 10 images lie on the diagonal.")


def test_long_names_of_few_classes_stand_upright_in_two_lines():
    figure = confusion_figure(np.eye(3, dtype=int), ("covid-19", "normal", "viral pneumonia"))
    assert figure is not None
    said = re.findall(r">([^<>]+)</text>", figure.svg)
    assert said.count("viral") == said.count("pneumonia") == 2
    assert "rotate(-40" not in figure.svg
    assert "rotate(-40" in confusion_figure(np.eye(2, dtype=int), ("pneumothorax-left", "b")).svg  # type: ignore[union-attr]


def test_a_class_without_images_is_drawn():
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), CLASSES)
    assert figure is not None
    assert "nan" not in figure.svg


def test_counts_that_do_not_fit_and_too_many_classes_are_not_drawn():
    assert confusion_figure(np.zeros((3, 3), dtype=int), CLASSES) is None
    assert confusion_figure(np.zeros((21, 21), dtype=int), [f"c{i}" for i in range(21)]) is None


def test_curves_say_their_areas():
    frame = pd.DataFrame({"p_a": [0.9, 0.6, 0.4, 0.1], "p_b": [0.1, 0.4, 0.6, 0.9]})
    frame = frame.assign(t_a=[1.0, 0, 1, 0], t_b=[0.0, 1, 0, 1])
    roc, pr = roc_figure(frame, CLASSES, "test"), precision_recall_figure(frame, CLASSES, "test")
    assert roc is not None
    assert pr is not None
    assert roc.caption == "ROC curves. Area under each: a 0.750, b 0.750."  # 3 of 4 pairs in order
    assert pr.caption == "Precision-recall curves. Average precision: a 0.833, b 0.833."  # (1 + 2/3) / 2
    assert (roc.name, pr.name) == ("roc_test", "precision_recall_test")


def test_a_class_of_one_kind_has_no_curve():
    frame = samples().assign(t_b=0.0)
    figure = roc_figure(frame, CLASSES, "test")
    assert figure is not None
    assert "b 0" not in figure.caption
    assert roc_figure(frame.assign(t_a=np.nan), CLASSES, "test") is None
    assert precision_recall_figure(frame.assign(t_a=np.nan), CLASSES, "test") is None


def test_curves_of_many_images_are_thinned_out():
    few, many = (roc_figure(samples(n), CLASSES, "test") for n in (400, 20_000))
    assert few is not None
    assert many is not None
    assert len(many.svg) < 1.6 * len(few.svg)


def test_reliability_of_classes_is_of_the_predicted_one():
    frame = pd.DataFrame({"p_a": [0.9, 0.3], "p_b": [0.1, 0.7], "t_a": [1.0, 1.0], "t_b": [0.0, 0.0]})
    figure = reliability_figure(frame, "multiclass", CLASSES, "test")
    assert figure is not None
    assert "calibration error 0.4000" in figure.caption  # (|1 - .9| + |0 - .7|) / 2
    assert "the 2 images are spread" in figure.caption


def test_reliability_of_labels_is_of_all_that_are_known():
    frame = pd.DataFrame({"p_a": [0.9, 0.3], "p_b": [0.1, 0.7], "t_a": [1.0, np.nan], "t_b": [0.0, 0.0]})
    figure = reliability_figure(frame, "multilabel", CLASSES, "test")
    assert figure is not None
    assert "the 3 labels are spread" in figure.caption


def test_what_are_no_probabilities_have_no_reliability():
    assert reliability_figure(samples().assign(p_a=1.5), "multiclass", CLASSES, "test") is None
    assert reliability_figure(samples().assign(t_a=np.nan, t_b=np.nan), "multilabel", CLASSES, "test") is None


def test_colours_of_the_page_are_variables():
    figure = roc_figure(samples(), CLASSES, "test")
    assert figure is not None
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", figure.svg.replace("#ffffff", ""))
    assert "var(" not in figure.plain
