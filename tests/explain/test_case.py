from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lungseg.classifier import Classifier
from lungseg.data.normalize import Normalize
from lungseg.data.preprocess.lungs_only import LungsOnly
from lungseg.data.preprocess.resize import Resize
from lungseg.errors import ConfigError, DataError
from lungseg.explain.case import explain_case, features_of
from lungseg.explain.gradcam import GradCam
from lungseg.explain.integrated_gradients import IntegratedGradients
from tests.explain.networks import Corner


def made(kind: str = "multiclass", steps=None, thresholds=None, normalize=None) -> Classifier:
    return Classifier(
        network=Corner(), steps=steps or {"resize": Resize(size=(32, 32))}, normalize=normalize or Normalize(),
        classes=["upper", "lower"], kind=kind, thresholds=thresholds or {}, device=torch.device("cpu"), record={},
    )  # fmt: skip


def picture(place: str, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Bright in the upper left or lower right 8th of each side but one; dark elsewhere."""
    image = np.zeros(size, np.uint8)
    high, wide = size[0] // 4, size[1] // 4
    if place == "upper":
        image[:high, :wide] = 255
    else:
        image[-high:, -wide:] = 255
    return image


@pytest.mark.parametrize("place", ["upper", "lower"])
def test_the_predicted_class_is_explained_by_the_corner_the_network_reads(place):
    case = explain_case(made(), GradCam(), picture(place))
    assert case.predicted == place
    # logits 1 and 0: e / (e + 1)
    assert case.probabilities[place] == pytest.approx(math.e / (math.e + 1), abs=1e-6)
    assert list(case.heat) == [place]
    heat = case.heat[place]
    assert (heat.shape, heat.dtype) == ((64, 96), np.float32)
    near, far = heat[:32, :48].sum(), heat[32:, 48:].sum()
    assert (near, far)[place == "lower"] > 0.95 * heat.sum()


def test_classes_can_be_named():
    case = explain_case(made(), GradCam(), picture("upper"), wanted=["lower", "upper"])
    assert list(case.heat) == ["lower", "upper"]


def test_a_class_that_is_not_known_suggests_the_near_one():
    with pytest.raises(ConfigError, match=r"classes names uper, .*did you mean upper"):
        explain_case(made(), GradCam(), picture("upper"), wanted=["uper"])


def test_all_labels_that_are_predicted_are_explained():
    both = np.maximum(picture("upper"), picture("lower"))
    case = explain_case(made("multilabel"), GradCam(), both)
    assert case.predicted == "upper|lower"
    assert list(case.heat) == ["upper", "lower"]


def test_where_no_label_is_predicted_the_most_probable_is_explained():
    high = {"upper": 0.99, "lower": 0.99}
    case = explain_case(made("multilabel", thresholds=high), GradCam(), picture("lower"))
    assert case.predicted == ""
    assert list(case.heat) == ["lower"]


def test_the_energy_is_that_of_the_heat_inside_the_lungs_and_stands_beside_their_area():
    lungs = np.zeros((64, 96), bool)
    lungs[:, :48] = True
    inside = explain_case(made(), GradCam(), picture("upper"), lungs=lungs)
    outside = explain_case(made(), GradCam(), picture("upper"), lungs=~lungs)
    assert inside.energy["upper"] > 0.98
    assert inside.energy["upper"] + outside.energy["upper"] == pytest.approx(1, abs=1e-6)
    assert inside.lungs_area == 0.5


def test_without_a_mask_there_is_no_energy():
    case = explain_case(made(), GradCam(), picture("upper"))
    assert case.energy == {}
    assert math.isnan(case.lungs_area)


def test_features_are_those_of_the_network():
    case = explain_case(made(), GradCam(), picture("upper"))
    # two channels of 4 x 4 cells, of which the first of each is white
    assert case.features.shape == (32,)
    assert np.flatnonzero(case.features).tolist() == [0, 16]


def test_black_is_told_to_the_explainer_as_the_network_sees_it():
    # normalised, black is -2 and the mean 0: a picture of black alone adds nothing on the way from black
    case = explain_case(
        made(normalize=Normalize(mean=0.5, std=0.25)), IntegratedGradients(steps=2), picture("upper") * 0,
        wanted=["upper"],
    )  # fmt: skip
    assert (case.heat["upper"] == 0).all()


def test_steps_that_need_the_lungs_get_the_mask():
    steps = {"lungs": LungsOnly(), "resize": Resize(size=(32, 32))}
    lungs = np.zeros((64, 96), bool)
    lungs[:, 48:] = True
    both = np.maximum(picture("upper"), picture("lower"))
    assert explain_case(made(steps=steps), GradCam(), both, lungs=lungs).predicted == "lower"
    with pytest.raises(DataError, match=r"step lungs \(LungsOnly\), which needs a lung mask .*give lung_masks="):
        explain_case(made(steps=steps), GradCam(), both)


def test_deep_radiographs_are_explained_alike():
    one = explain_case(made(), GradCam(), picture("upper"))
    deep = explain_case(made(), GradCam(), picture("upper").astype(np.uint16) * 257)
    assert np.abs(one.heat["upper"] - deep.heat["upper"]).max() < 1e-5


def test_a_network_without_features_is_refused():
    with pytest.raises(ConfigError, match="Linear has no method `features`"):
        features_of(torch.nn.Linear(2, 2), torch.zeros(1, 2))
