"""Counts of pixels, on tensors and on arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from lungseg.metrics.counts import counts, counts_of_image


def random_masks(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(shape, generator=generator) > 0.3
    mask = (torch.rand(shape, generator=generator) > 0.6).to(torch.uint8)
    valid = (torch.rand((shape[0], 1, *shape[2:]), generator=generator) > 0.2).to(torch.uint8)
    return prediction, mask, valid


def test_each_kind_of_pixel_is_counted():
    # p 1 1 1 0 0 0 0 0, t 1 0 0 1 1 1 0 0: TP 1, FP 2, FN 3, TN 2
    p = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0], dtype=torch.uint8).view(1, 1, 2, 4)
    t = torch.tensor([1, 0, 0, 1, 1, 1, 0, 0], dtype=torch.uint8).view(1, 1, 2, 4)
    assert counts(p, t).tolist() == [[[1, 2, 3, 2]]]


@pytest.mark.parametrize("shape", [(1, 1, 2, 3), (2, 3, 7, 5), (3, 2, 32, 32), (2, 1, 64, 65)])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_counts_are_those_of_sklearn(shape, use_valid):
    prediction, mask, valid = random_masks(shape)
    found = counts(prediction, mask, valid if use_valid else None)
    assert found.dtype == torch.int64
    for b in range(shape[0]):
        for k in range(shape[1]):
            keep = valid[b, 0].bool() if use_valid else torch.ones(shape[2:], dtype=torch.bool)
            matrix = confusion_matrix(mask[b, k][keep], prediction[b, k][keep], labels=[0, 1])
            (tn, fp), (fn, tp) = matrix.tolist()
            assert found[b, k].tolist() == [tp, fp, fn, tn]


def test_no_byte_carries_into_the_next_when_every_pixel_is_foreground():
    ones = torch.ones(1, 1, 300, 300, dtype=torch.uint8)
    assert counts(ones, ones).tolist() == [[[90_000, 0, 0, 0]]]


def test_any_value_but_zero_is_foreground():
    p = torch.tensor([[[[255, 2, 0]]]], dtype=torch.uint8)
    assert counts(p, p > 0).tolist() == [[[2, 0, 0, 1]]]


def test_channels_last_and_sliced_inputs_count_the_same():
    prediction, mask, valid = random_masks((2, 3, 16, 16))
    expected = counts(prediction, mask, valid)
    last = [x.contiguous(memory_format=torch.channels_last) for x in (prediction, mask, valid)]
    assert torch.equal(counts(*last), expected)
    sliced = [torch.nn.functional.pad(x, (3, 2, 1, 4))[..., 1:-4, 3:-2] for x in (prediction, mask, valid)]
    assert torch.equal(counts(*sliced), expected)


@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
def test_counts_of_arrays_are_those_of_tensors(use_valid):
    prediction, mask, valid = random_masks((1, 3, 9, 7))
    expected = counts(prediction, mask, valid if use_valid else None)[0].numpy()
    found = counts_of_image(
        prediction[0].numpy(), mask[0].numpy().astype(bool), valid[0].numpy() if use_valid else None
    )
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("prediction", "mask", "valid", "message"),
    [
        pytest.param(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), None, "threshold it first", id="logits"),
        pytest.param(
            torch.zeros(1, 1, 2, 2) > 0, torch.zeros(1, 2, 2, 2) > 0, None, r"\(1, 2, 2, 2\)", id="structures"
        ),
        pytest.param(
            torch.zeros(1, 2, 2, 2) > 0,
            torch.zeros(1, 2, 2, 2) > 0,
            torch.zeros(1, 2, 2, 2) > 0,
            r"must be \(1, 1, 2, 2\)",
            id="valid",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(prediction, mask, valid, message):
    with pytest.raises(ValueError, match=message):
        counts(prediction, mask, valid)


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) and the mask \(1, 2, 3\)"):
        counts_of_image(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 3), bool))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_counts_on_the_gpu_are_those_on_the_cpu_and_do_not_wait():
    prediction, mask, valid = random_masks((4, 3, 65, 63))
    expected = counts(prediction, mask, valid)
    moved = [x.cuda() for x in (prediction, mask, valid)]
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = counts(*moved)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert torch.equal(found.cpu(), expected)
