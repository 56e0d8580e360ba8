"""Means of an epoch: exact, and the same however the images are batched, split or resumed."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torchmetrics.functional.classification import binary_accuracy, binary_precision, binary_recall
from torchmetrics.functional.segmentation import dice_score, mean_iou

from lungseg.metrics.counts import counts
from lungseg.metrics.running import RunningCounts


def random_counts(n: int, structures: int = 1) -> torch.Tensor:
    return torch.randint(0, 1000, (n, structures, 4), generator=torch.Generator().manual_seed(0))


def running(*batches: torch.Tensor, structures: tuple[str, ...] = ("lungs",)) -> RunningCounts:
    kept = RunningCounts(structures=structures)
    for batch in batches:
        kept.update(batch)
    return kept


def test_mean_over_images_leaves_out_what_is_undefined_and_pooled_adds_first():
    values = running(torch.tensor([[[1, 1, 0, 2]], [[0, 0, 0, 4]], [[3, 0, 1, 0]]])).compute()
    assert values["dice"] == pytest.approx((2 / 3 + 6 / 7) / 2)  # both empty: left out
    assert values["dice_pooled"] == pytest.approx(8 / 10)  # 2 * 4 / (8 + 1 + 1)
    assert values["iou"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert values["iou_pooled"] == pytest.approx(4 / 6)
    assert values["accuracy"] == pytest.approx((3 / 4 + 1 + 3 / 4) / 3)
    assert values["precision"] == pytest.approx((1 / 2 + 1) / 2)
    assert values["recall"] == pytest.approx((1 + 3 / 4) / 2)


def test_structures_are_averaged_and_named():
    values = running(torch.tensor([[[1, 0, 0, 3], [0, 1, 1, 2]]]), structures=("heart", "left_lung")).compute()
    assert (values["dice"], values["dice/heart"], values["dice/left_lung"]) == (0.5, 1.0, 0.0)
    assert (values["dice_pooled"], values["dice_pooled/heart"]) == (0.5, 1.0)


def test_a_structure_that_is_never_there_does_not_spoil_the_mean():
    values = running(torch.tensor([[[1, 0, 0, 3], [0, 0, 0, 4]]]), structures=("heart", "left_lung")).compute()
    assert values["dice"] == 1.0
    assert math.isnan(values["dice/left_lung"])


def test_one_structure_is_not_named_twice():
    assert set(running(random_counts(2)).compute()) == {
        "dice", "iou", "accuracy", "precision", "recall", "dice_pooled", "iou_pooled",
    }  # fmt: skip


def test_nothing_seen_is_undefined():
    assert all(math.isnan(value) for value in running().compute().values())


def test_values_are_those_of_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(6, 1, 20, 20, generator=generator) > 0.5
    mask = torch.rand(6, 1, 20, 20, generator=generator) > 0.6
    values = running(counts(prediction, mask)).compute()
    p, t = prediction.long(), mask.long()

    def per_image(metric) -> float:
        return metric(p.flatten(1), t.flatten(1), multidim_average="samplewise").double().mean().item()

    dice = dice_score(p, t, num_classes=1, input_format="one-hot", aggregation_level="samplewise")
    iou = mean_iou(p, t, num_classes=1, input_format="one-hot")
    assert values["dice"] == pytest.approx(dice.double().mean().item(), rel=1e-6)
    assert values["iou"] == pytest.approx(iou.double().mean().item(), rel=1e-6)
    assert values["accuracy"] == pytest.approx(per_image(binary_accuracy), rel=1e-6)
    assert values["precision"] == pytest.approx(per_image(binary_precision), rel=1e-6)
    assert values["recall"] == pytest.approx(per_image(binary_recall), rel=1e-6)
    pooled = dice_score(p, t, num_classes=1, input_format="one-hot", aggregation_level="global")
    assert values["dice_pooled"] == pytest.approx(pooled.item(), rel=1e-6)


@pytest.mark.parametrize("size", [1, 3, 700])
def test_values_do_not_change_in_the_last_bit_with_the_batch_size(size):
    all_counts = random_counts(700, 2)
    names = ("heart", "lungs")
    expected = running(all_counts, structures=names).compute()
    assert running(*all_counts.split(size), structures=names).compute() == expected


def test_values_do_not_change_in_the_last_bit_with_the_order_or_the_number_of_processes():
    all_counts = random_counts(501)
    merged = running(all_counts[::2])
    merged.merge([running(all_counts[1::2])])
    assert len(merged) == 501
    assert merged.compute() == running(all_counts).compute()


def test_a_saved_epoch_goes_on_exactly():
    all_counts = random_counts(300)
    file = io.BytesIO()
    torch.save(running(all_counts[:130]).state_dict(), file)
    file.seek(0)
    resumed = running(random_counts(7))  # what it held before is forgotten
    resumed.load_state_dict(torch.load(file, weights_only=True))
    resumed.update(all_counts[130:])
    assert resumed.compute() == running(all_counts).compute()


def test_a_saved_state_does_not_change_with_later_updates():
    kept = running(random_counts(3))
    state = kept.state_dict()
    kept.reset()
    kept.update(torch.zeros(3, 1, 4, dtype=torch.int64))
    assert torch.equal(state["counts"], random_counts(3))


def test_reset_forgets_all_images():
    kept = running(random_counts(300))
    kept.reset()
    assert len(kept) == 0
    kept.update(torch.tensor([[[1, 0, 0, 0]]]))
    assert kept.compute()["dice"] == 1.0


def test_validation_in_inference_mode_and_training_after_it_can_share_one():
    kept = RunningCounts(structures=["lungs"])
    with torch.inference_mode():
        kept.update(random_counts(2))
    kept.update(random_counts(2))
    with torch.inference_mode():
        kept.update(random_counts(2))
    assert len(kept) == 6
    assert not kept.state_dict()["counts"].is_inference()


def test_counts_of_another_number_of_structures_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3, 4\).*1 structures \(lungs\)"):
        running(random_counts(2, 3))


def test_no_structure_is_refused():
    with pytest.raises(ValueError, match="structures is empty"):
        RunningCounts(structures=[])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_updates_on_the_gpu_do_not_wait_and_give_the_same_values():
    all_counts = random_counts(300)
    moved = [batch.cuda() for batch in all_counts.split(7)]
    kept = RunningCounts(structures=["lungs"])
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in moved:
            kept.update(batch)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert kept.compute() == running(all_counts).compute()
