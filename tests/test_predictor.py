"""A checkpoint at work: masks at the radiograph's own size, whatever its size and depth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import lungseg
from lungseg.data.io import read_radiograph
from lungseg.data.phantom.generator import Phantom
from lungseg.errors import CheckpointError, ConfigError, DataError, ResourceError
from lungseg.postprocess.threshold import Threshold
from lungseg.predictor import Predictor, pick_device


@pytest.fixture(scope="module")
def predictor(trained_run) -> Predictor:
    return lungseg.load(trained_run, device="cpu")


def picture(size: tuple[int, int] = (32, 32), index: int = 3) -> np.ndarray:
    return cv2.resize(Phantom(0, (64, 64)).sample(index).pixels, size[::-1])


def test_three_lines_segment_a_file(trained_run, tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), picture((37, 53)))
    segment = lungseg.load(trained_run / "checkpoints" / "last.ckpt")
    found = segment(tmp_path / "x.png")
    assert found.masks["lungs"].shape == (37, 53)


@pytest.mark.parametrize("size", [(32, 32), (37, 53), (101, 64), (9, 200)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_masks_and_probabilities_have_the_radiograph_s_size(predictor, size):
    image = picture(size)
    found = predictor(image)
    assert (found.masks["lungs"].shape, found.masks["lungs"].dtype) == (size, bool)
    assert (found.probabilities["lungs"].shape, found.probabilities["lungs"].dtype) == (size, np.float32)
    assert found.image is image
    assert found.area_pixels("lungs") == found.masks["lungs"].sum()


def test_a_mask_is_where_the_probability_is_above_the_threshold(predictor):
    found = predictor(picture())
    assert np.array_equal(found.masks["lungs"], found.probabilities["lungs"] > 0.5)


def test_the_network_is_run_as_it_was_trained(predictor, trained_run):
    # by hand: the store's own preprocessing at 32 x 32 is none, so the logits are those of the network on the image
    image = picture((32, 32))
    content = torch.load(trained_run / "checkpoints" / "best.ckpt", weights_only=True)
    for name, tensor in predictor.network.state_dict().items():
        assert torch.equal(tensor, content["state_dict"][f"model.{name}"]), name
    with torch.no_grad():
        logits = predictor.network(torch.from_numpy(image / np.float32(255))[None, None])
    assert np.abs(predictor(image).probabilities["lungs"] - torch.sigmoid(logits)[0, 0].numpy()).max() < 1e-5


def test_16_bits_give_what_8_bits_give(predictor):
    image = picture((45, 40))
    one, deep = predictor(image), predictor(image.astype(np.uint16) * 257)
    # area averages are rounded at the image's own depth: by half of 1/255
    assert np.abs(one.probabilities["lungs"] - deep.probabilities["lungs"]).max() < 0.02


def test_colour_of_three_equal_channels_gives_what_grey_gives(predictor):
    image = picture()
    one, colour = predictor(image), predictor(np.dstack([image] * 3))
    assert np.array_equal(one.probabilities["lungs"], colour.probabilities["lungs"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_inverted_array_is_turned(predictor, dtype):
    image = picture().astype(dtype) * (1 if dtype == np.uint8 else 257)
    turned = predictor(np.invert(image), inverted=True)
    assert np.array_equal(turned.image, image)
    assert np.array_equal(turned.probabilities["lungs"], predictor(image).probabilities["lungs"])


def test_an_inverted_file_is_turned(predictor, tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), np.invert(picture()))
    found = predictor(tmp_path / "x.png", inverted=True)
    assert np.array_equal(found.image, read_radiograph(tmp_path / "x.png", inverted=True).pixels)
    assert np.array_equal(found.image, picture())


def test_many_at_once_equal_one_by_one(predictor):
    images = [picture((32, 32), 1), picture((40, 33), 2), picture((32, 32), 4)]
    together = predictor.many(images)
    for image, found in zip(images, together, strict=True):
        alone = predictor(image)
        np.testing.assert_allclose(found.probabilities["lungs"], alone.probabilities["lungs"], atol=1e-6)
        assert np.array_equal(found.masks["lungs"], alone.masks["lungs"])


def test_8_and_16_bits_can_be_mixed(predictor):
    images = [picture(), picture().astype(np.uint16) * 257]
    one, other = predictor.many(images)
    np.testing.assert_allclose(one.probabilities["lungs"], other.probabilities["lungs"], atol=1e-6)
    assert one.image.dtype == np.uint8


def test_none_give_none(predictor):
    assert predictor.many([]) == []


@pytest.mark.parametrize(
    "array",
    [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8), np.zeros(8, np.uint8), np.zeros((8, 8), np.int32)],
    ids=["float", "four-channels", "one-dimension", "int32"],
)
def test_other_arrays_are_refused_with_their_shape(predictor, array):
    with pytest.raises(ValueError, match=r"must be \(h, w\) or \(h, w, 3\) uint8 or uint16, not"):
        predictor(array)


def test_a_broken_file_is_named(predictor, tmp_path):
    (tmp_path / "x.png").write_text("<html>")
    with pytest.raises(DataError, match=r"x\.png"):
        predictor(tmp_path / "x.png")


def test_it_is_in_evaluation_mode_and_wants_no_gradients(predictor):
    assert not predictor.network.training
    assert predictor.structures == ("lungs",)


def test_the_checkpoint_s_record_goes_along(predictor):
    assert predictor.record["trained_on"] == ["phantom"]
    assert predictor.record["config"]["model"]["features"] == [4, 8]


def test_another_threshold_can_be_asked_for(trained_run):
    image = picture()
    strict = lungseg.load(trained_run, device="cpu", threshold=0.9)
    assert isinstance(strict.postprocess.steps["threshold"], Threshold)
    found = strict(image)
    assert np.array_equal(found.masks["lungs"], found.probabilities["lungs"] > np.float32(0.9))


def test_no_checkpoint_and_a_foreign_one_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        lungseg.load(tmp_path / "none.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="is no checkpoint of lungseg"):
        lungseg.load(tmp_path / "other.ckpt")


class TestDevice:
    def test_auto_takes_what_there_is(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert pick_device("auto") == torch.device("cpu")

    def test_a_gpu_that_is_not_there_is_a_lack_of_resources(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ResourceError, match="device=cuda, but torch sees no CUDA device"):
            pick_device("cuda")

    def test_a_name_of_no_device_says_which_there_are(self):
        with pytest.raises(ResourceError, match=r"device=gpu is no device .* Use auto, cpu, cuda"):
            pick_device("gpu")
