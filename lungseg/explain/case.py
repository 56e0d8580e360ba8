"""One radiograph explained: what a classifier says of it, the heat maps of its classes, and its features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungseg.classifier import Classifier
from lungseg.data.plausibility import doubts
from lungseg.data.preprocess.base import Prepared
from lungseg.errors import ConfigError, DataError, near_name
from lungseg.explain.base import Explainer, on_image
from lungseg.explain.energy import energy_inside
from lungseg.metrics.probabilities import predicted, probabilities
from lungseg.predictor import prepared_batch


@dataclass(frozen=True)
class Case:
    """What is known of one radiograph.

    Attributes:
        probabilities: class -> probability, of all classes.
        predicted: the most probable class; labels joined by `|`.
        doubts: why the picture may be no frontal chest radiograph.
        heat: class -> (h, w) float32 in [0, 1] at the radiograph's own size, of the classes explained.
        energy: class -> share of its heat inside the lungs; NaN without heat, empty without a lung mask.
        lungs_area: share of the picture that is lung; NaN without a mask.
        features: (D,) float32, penultimate features.
    """

    probabilities: dict[str, float]
    predicted: str
    doubts: list[str]
    heat: dict[str, NDArray[np.float32]]
    energy: dict[str, float]
    lungs_area: float
    features: NDArray[np.float32]


def check_wanted(classifier: Classifier, wanted: Sequence[str] | None) -> None:
    """Refuse classes that the classifier does not tell.

    Raises:
        ConfigError: names the first, and one like it.
    """
    for name in wanted or ():
        if name not in classifier.classes:
            near = near_name(name, classifier.classes)
            hint = f"did you mean {near}?" if near else f"it tells {', '.join(classifier.classes)} apart"
            msg = f"classes names {name}, which the checkpoint does not know; {hint}"
            raise ConfigError(msg)


def explain_case(
    classifier: Classifier,
    explainer: Explainer,
    pixels: NDArray[Any],
    *,
    wanted: Sequence[str] | None = None,
    lungs: NDArray[np.bool_] | None = None,
) -> Case:
    """Explain one radiograph.

    Args:
        classifier: the loaded checkpoint.
        explainer: what draws the heat maps.
        pixels: (h, w) or (h, w, 3) uint8 or uint16 over its full range, bright = dense.
        wanted: classes to explain; None = those predicted, or the most probable one where none is.
        lungs: (h, w) bool; guides preprocessing where a step wants it, and is what the energy is measured in.

    Raises:
        ConfigError: a class is not known, or the layer to look at.
        DataError: preprocessing needs a lung mask and there is none.
    """
    check_wanted(classifier, wanted)
    sample = prepared(pixels, classifier, lungs)
    batch = as_input(sample.image[None], classifier)
    with torch.no_grad():
        logits = classifier.network(batch).float().cpu().numpy()
    features = features_of(classifier.network, batch)[0]
    chances = probabilities(logits, classifier.kind)
    said = predicted(chances, classifier.kind, classifier.classes, classifier.thresholds)[0]
    if wanted is None:
        wanted = [name for name in classifier.classes if name in said.split("|")]
    names = list(dict.fromkeys(wanted)) or [classifier.classes[int(chances[0].argmax())]]
    black = float(classifier.normalize(torch.zeros(1, 1, 1, 1)).item())
    places = [classifier.classes.index(name) for name in names]
    on_grid = explainer(classifier.network, batch, places, black=black)
    heat = on_image(on_grid, sample.placement, (pixels.shape[0], pixels.shape[1]))
    maps = dict(zip(names, heat, strict=True))
    return Case(
        dict(zip(classifier.classes, chances[0].tolist(), strict=True)),
        said,
        doubts(pixels),
        maps,
        {} if lungs is None else {name: energy_inside(one, lungs) for name, one in maps.items()},
        math.nan if lungs is None else float(lungs.mean()),
        features,
    )


def prepared(pixels: NDArray[Any], classifier: Classifier, lungs: NDArray[np.bool_] | None) -> Prepared:
    """Run the preprocessing over a radiograph as published.

    Raises:
        DataError: a step needs a lung mask and there is none.
    """
    for name, step in classifier.steps.items():
        if lungs is None and getattr(step, "masks", None) is not None:
            msg = (
                f"the checkpoint was trained with the step {name} ({type(step).__name__}), which needs a lung mask of "
                "this radiograph, and there is none: give lung_masks=<folder, or segmentation checkpoint>"
            )
            raise DataError(msg)
    _, (sample,) = prepared_batch([pixels], classifier.steps, None if lungs is None else [lungs])
    return sample


def as_input(images: NDArray[Any], classifier: Classifier) -> Tensor:
    """Turn preprocessed images (B, H, W) uint8 or uint16 into what the network sees, (B, 1, H, W) float32."""
    return classifier.normalize(torch.from_numpy(np.ascontiguousarray(images[:, None])).to(classifier.device))


def features_of(network: nn.Module, batch: Tensor) -> NDArray[np.float32]:
    """Return the penultimate features of a batch, (B, D) float32.

    Raises:
        ConfigError: the network does not tell them.
    """
    features = getattr(network, "features", None)
    if not callable(features):
        msg = (
            f"{type(network).__name__} has no method `features`, image -> (B, D), so its features cannot be shown; "
            "leave embedding and neighbours out"
        )
        raise ConfigError(msg)
    with torch.no_grad():
        found: NDArray[np.float32] = features(batch).float().cpu().numpy()
    return found
