"""A classifier at work: probabilities of radiographs of any size and depth, and what is doubtful about a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from lungseg.classifier import Classifier
from lungseg.data.io import read_radiograph
from lungseg.data.normalize import Normalize
from lungseg.data.phantom.generator import Phantom
from lungseg.data.preprocess.grey import Grey
from lungseg.data.preprocess.resize import Resize
from lungseg.errors import DataError
from tests.toy_classes import TinyClassifier


def make(kind="multiclass", classes=("a", "b", "c"), **thresholds) -> Classifier:
    torch.manual_seed(1)
    return Classifier(
        network=TinyClassifier(num_classes=len(classes)), steps={"grey": Grey(), "resize": Resize(size=(16, 16))},
        normalize=Normalize(mean=0.5, std=0.25), classes=classes, kind=kind, thresholds=thresholds,
        device=torch.device("cpu"), record={},
    )  # fmt: skip


def picture(index: int = 3, size: tuple[int, int] = (128, 128)) -> np.ndarray:
    return cv2.resize(Phantom(0, (128, 128)).sample(index).pixels, size[::-1])


def as_bytes(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.uint8 else np.round(image * 255).astype(np.uint8)


def test_probabilities_are_the_softmax_of_what_the_network_says_of_the_prepared_image():
    classifier, image = make(), as_bytes(picture())
    found = classifier(image)
    small = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        logits = classifier.network((torch.from_numpy(small)[None, None].float() / 255 - 0.5) / 0.25)
    assert list(found.probabilities.values()) == pytest.approx(torch.softmax(logits, 1)[0].tolist(), rel=1e-5)
    assert found.predicted == "abc"[int(logits.argmax())]
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert found.doubts == []


def test_labels_are_predicted_from_their_own_thresholds():
    image = as_bytes(picture())
    chances = make("multilabel")(image).probabilities
    limits = {"a": chances["a"] - 0.01, "b": chances["b"] + 0.01, "c": chances["c"] - 0.01}
    assert make("multilabel", **limits)(image).predicted == "a|c"


def test_several_images_of_any_size_and_depth_are_as_one_by_one():
    images = [as_bytes(picture(1)), as_bytes(picture(2, (200, 150))), as_bytes(picture(4)).astype(np.uint16) * 257]
    classifier = make()
    for together, image in zip(classifier.many(images), images, strict=True):
        assert list(together.probabilities.values()) == pytest.approx(
            list(classifier(image).probabilities.values()), abs=1e-4
        )
    assert classifier.many([]) == []


def test_a_file_is_read_as_everywhere(tmp_path):
    cv2.imwrite(str(tmp_path / "x.png"), as_bytes(picture()))
    classifier = make()
    pixels = read_radiograph(tmp_path / "x.png").pixels
    assert classifier(tmp_path / "x.png") == classifier(str(tmp_path / "x.png")) == classifier(pixels)


def test_an_inverted_radiograph_is_turned_where_it_is_said_and_doubted_where_it_is_not():
    classifier, image = make(), as_bytes(picture())
    assert classifier(255 - image, inverted=True) == classifier(image)
    assert "inverted" in classifier(255 - image).doubts[0]


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "x.png").write_text("no image")
    with pytest.raises(DataError, match=r"x\.png"):
        make()(tmp_path / "x.png")
    with pytest.raises(ValueError, match="uint8 or uint16"):
        make()(np.zeros((4, 4)))
