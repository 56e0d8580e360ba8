"""Values of an epoch: exact, and the same however the images are batched, ordered, split or resumed."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from lungseg.errors import DataError
from lungseg.metrics.running_classes import RunningClasses

CLASSES = ("normal", "bacterial", "viral")


def made(kind: str, n: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, 3, generator=generator)
    if kind == "multiclass":
        return logits, torch.randint(0, 3, (n,), generator=generator)
    labels = (torch.rand(n, 3, generator=generator) < 0.4).float()
    labels[torch.rand(n, 3, generator=generator) < 0.1] = math.nan
    return logits, labels


def running(kind: Any, *batches: tuple[torch.Tensor, torch.Tensor]) -> RunningClasses:
    kept = RunningClasses(kind=kind, classes=CLASSES)
    for logits, labels in batches:
        kept.update(logits, labels)
    return kept


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("size", [1, 7, 32])
def test_values_do_not_change_with_the_batch_size(kind: str, size: int):
    logits, labels = made(kind)
    batches = zip(logits.split(size), labels.split(size), strict=True)
    assert running(kind, *batches).compute() == running(kind, (logits, labels)).compute()


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_values_do_not_change_with_the_order_or_the_processes(kind: str):
    logits, labels = made(kind)
    turned = torch.randperm(len(logits), generator=torch.Generator().manual_seed(1))
    merged = running(kind, (logits[turned][:40], labels[turned][:40]))
    merged.merge([running(kind, (logits[turned][40:], labels[turned][40:]))])
    assert len(merged) == 90
    assert merged.compute() == running(kind, (logits, labels)).compute()


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_resumed_epoch_ends_in_the_same_values(kind: str):
    logits, labels = made(kind)
    file = io.BytesIO()
    torch.save(running(kind, (logits[:50], labels[:50])).state_dict(), file)
    file.seek(0)
    resumed = RunningClasses(kind=kind, classes=CLASSES)  # type: ignore[arg-type]
    resumed.load_state_dict(torch.load(file, weights_only=True))
    resumed.update(logits[50:], labels[50:])
    assert resumed.compute() == running(kind, (logits, labels)).compute()


def test_values_are_those_of_scikit_learn():
    logits, labels = made("multiclass")
    values = running("multiclass", (logits, labels)).compute()
    p = logits.double().softmax(dim=1).numpy()
    predicted = logits.argmax(dim=1).numpy()
    assert values["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert values["accuracy"] == (predicted == labels.numpy()).mean()
    assert values["auroc"] == pytest.approx(roc_auc_score(labels, p, multi_class="ovr"), abs=1e-12)
    assert values["f1/viral"] == pytest.approx(f1_score(labels, predicted, average=None)[2], abs=1e-12)


def test_an_unknown_label_is_left_out_of_its_label():
    logits = torch.tensor([[3.0, 3.0, -3.0], [-3.0, 3.0, 3.0], [3.0, -3.0, -3.0], [-3.0, -3.0, 3.0]])
    labels = torch.tensor([[1, 1, 1], [0, math.nan, 0], [1, 0, 1], [0, 0, math.nan]])
    values = running("multilabel", (logits, labels)).compute()
    assert (values["f1/normal"], values["f1/bacterial"], values["f1/viral"]) == (1, 1, 0)
    assert values["accuracy"] == 7 / 10


def test_a_label_is_predicted_from_a_logit_of_nought_on():
    values = running("multilabel", (torch.zeros(1, 3), torch.ones(1, 3))).compute()
    assert values["accuracy"] == 1


def test_logits_so_high_that_an_exponential_overflows_are_fine():
    values = running("multiclass", (torch.tensor([[1e4, 0, 0], [0, 1e4, 0], [-1e4, 0, 9.0]]), torch.arange(3)))
    assert values.compute()["macro_f1"] == 1


def test_half_precision_is_kept_in_float32():
    kept = running("multiclass", (torch.ones(2, 3, dtype=torch.bfloat16), torch.tensor([0, 1])))
    assert kept.logits.dtype == torch.float32


def test_what_was_seen_in_inference_mode_can_be_gone_on_with():
    kept = RunningClasses(kind="multiclass", classes=CLASSES)
    logits, labels = made("multiclass")
    with torch.inference_mode():
        kept.update(logits, labels)
    kept.reset()
    kept.update(logits[:4], labels[:4])
    assert len(kept) == 4


def test_logits_are_kept_without_their_graph():
    kept = RunningClasses(kind="multiclass", classes=CLASSES)
    kept.update(torch.ones(2, 3, requires_grad=True), torch.tensor([0, 1]))
    assert not kept.logits.requires_grad


def test_nothing_seen_is_undefined():
    assert all(math.isnan(value) for value in running("multilabel").compute().values())
    assert all(math.isnan(value) for value in running("multiclass").compute().values())


@pytest.mark.parametrize(
    ("kind", "logits", "labels"),
    [("multiclass", (2, 3), (2, 3)), ("multiclass", (2, 4), (2,)), ("multilabel", (2, 3), (2,))],
)
def test_shapes_that_do_not_fit_are_refused(kind: Any, logits: tuple[int, ...], labels: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"3 classes .normal, bacterial, viral. needs"):
        running(kind, (torch.zeros(logits), torch.zeros(labels)))


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(DataError, match=r"1 labels are no class, e.g. \[3\]"):
        running("multiclass", (torch.zeros(2, 3), torch.tensor([0, 3]))).compute()


def test_classes_and_kind_are_needed():
    with pytest.raises(ValueError, match="classes is empty"):
        RunningClasses(kind="multiclass", classes=[])
    with pytest.raises(ValueError, match="kind=binary"):
        RunningClasses(kind="binary", classes=["a"])  # type: ignore[arg-type]
