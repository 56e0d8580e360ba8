"""Values of an epoch: functions of the images, not of how they were batched."""

from __future__ import annotations

import math

import pytest
import torch

from lungseg.errors import ConfigError
from lungseg.models.resunet import ResUNet
from tests.toy import toy_data, toy_task, toy_trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


class Fixed(torch.nn.Module):
    """A network without batch statistics: logits are the image, above its middle."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor(-0.55))

    def forward(self, image):
        return image + self.bias


def fixed_values(folder, store, batch_size):
    task = toy_task()
    task.model = Fixed()
    task._optimizer = lambda parameters: torch.optim.SGD(list(parameters), lr=0.0)
    data = toy_data(store, n=12, val=7, batch_size=batch_size)
    data.augment = None
    toy_trainer(folder, epochs=1).fit(task, datamodule=data)
    return task.epoch_values


@pytest.mark.parametrize("batch_size", [1, 3])
def test_counted_values_are_the_same_to_the_last_bit_for_any_batch_size(tmp_path, store, batch_size):
    whole = fixed_values(tmp_path / "whole", store, 7)
    other = fixed_values(tmp_path / "other", store, batch_size)
    assert {"val/loss", "val/accuracy", "val/dice", "val/iou", "val/precision", "val/recall"} <= set(whole)
    for name, value in whole.items():
        if name.endswith("loss"):
            assert other[name] == pytest.approx(value, rel=1e-6)  # means of float32
        else:
            assert other[name] == value, name


def test_values_are_those_of_the_images_by_hand(tmp_path, store):
    data = toy_data(store, n=12, val=7)
    at = data.positions("val")
    found = data.store.images(at) / 255 > 0.55
    wanted = data.store.masks(at)[:, 0] > 0
    both = (found & wanted).sum(axis=(1, 2))
    dice = 2 * both / (found.sum(axis=(1, 2)) + wanted.sum(axis=(1, 2)))
    values = fixed_values(tmp_path, store, 3)
    assert values["val/dice"] == pytest.approx(dice.mean(), rel=1e-12)
    assert values["val/accuracy"] == pytest.approx((found == wanted).mean(), rel=1e-12)  # all images have one size


def test_training_values_are_taken_at_the_last_batch_of_an_epoch(tmp_path, store):
    values = fixed_values(tmp_path, store, 2)
    assert {"train/loss", "train/dice", "train/iou", "train/accuracy"} <= set(values)
    assert all(math.isfinite(value) for value in values.values())


def test_a_cut_off_epoch_shows_no_value_of_the_epoch_before(tmp_path, store):
    task = toy_task()
    # 5 training samples make 3 batches; the second epoch is cut off after its first
    toy_trainer(tmp_path, epochs=5, max_steps=4).fit(task, datamodule=toy_data(store, n=12, val=7))
    assert task.epoch_values == {}


def test_a_threshold_is_a_probability_compared_with_logits():
    task = toy_task(threshold=0.9)
    # logit(0.9) = ln 9 = 2.197
    logits = torch.tensor([2.1, 2.3, 0.0, -1.0]).view(1, 1, 2, 2)
    counted = task._counts(logits, {"mask": torch.ones(1, 1, 2, 2, dtype=torch.uint8)})
    assert counted.tolist() == [[[1, 0, 3, 0]]]


@pytest.mark.parametrize("threshold", [0, 1, -0.1])
def test_a_threshold_outside_of_0_to_1_is_refused(threshold):
    with pytest.raises(ConfigError, match=rf"task\.threshold={threshold}"):
        toy_task(threshold=threshold)


def test_a_network_with_another_number_of_channels_names_the_key(tmp_path, store):
    task = toy_task()
    task.model = ResUNet(in_channels=1, features=(4, 8), num_classes=3)
    with pytest.raises(
        ConfigError, match=r"gives 3 channels, but task\.activation=sigmoid .* lungs\. .*model\.num_classes=1"
    ):
        toy_trainer(tmp_path, epochs=1).fit(task, datamodule=toy_data(store, n=8))


def test_pixels_that_are_not_valid_count_nowhere():
    task = toy_task()
    valid = torch.tensor([1, 1, 0, 0], dtype=torch.uint8).view(1, 1, 2, 2)
    mask = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
    counted = task._counts(torch.full((1, 1, 2, 2), 5.0), {"mask": mask, "valid": valid})
    assert counted.tolist() == [[[2, 0, 0, 0]]]


class TestSoftmax:
    """K structures and the background: K + 1 logits."""

    def test_a_pixel_belongs_to_the_structure_with_the_highest_logit(self):
        task = toy_task(activation="softmax", structures=("lungs", "heart"))
        # columns: background highest, lungs highest, heart highest
        logits = torch.tensor([[3.0, 0.0, -1.0], [1.0, 2.0, -3.0], [2.0, 1.0, 0.0]]).view(1, 3, 1, 3)
        assert task.foreground(logits)[0, :, 0].tolist() == [[False, True, False], [False, False, True]]

    def test_its_counts_are_those_of_the_structures(self):
        task = toy_task(activation="softmax")
        logits = torch.tensor([[0.0, 0.0], [1.0, -1.0]]).view(1, 2, 1, 2)
        counted = task._counts(logits, {"mask": torch.ones(1, 1, 1, 2, dtype=torch.uint8)})
        assert counted.tolist() == [[[1, 0, 1, 0]]]  # one pixel found, one missed

    def test_a_network_without_a_background_channel_names_the_key(self, tmp_path, store):
        task = toy_task(activation="softmax")
        with pytest.raises(ConfigError, match=r"gives 1 channels.*lungs and the background.*model\.num_classes=2"):
            toy_trainer(tmp_path, epochs=1).fit(task, datamodule=toy_data(store, n=8))

    def test_an_unknown_activation_is_refused(self):
        with pytest.raises(ConfigError, match=r"task\.activation=tanh must be sigmoid or softmax"):
            toy_task(activation="tanh")


def test_channels_last_changes_the_layout_of_the_weights_and_not_the_logits():
    plain, other = toy_task(), toy_task(memory_format="channels_last")
    image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    convolution = next(m for m in other.model.modules() if isinstance(m, torch.nn.Conv2d) and m.in_channels > 1)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    plain.eval(), other.eval()
    torch.testing.assert_close(other(image), plain(image), rtol=1e-4, atol=1e-5)
