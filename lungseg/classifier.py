"""The object behind predict for a classifier: a checkpoint made ready to say what radiographs show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lungseg.data.normalize import Normalize
from lungseg.data.plausibility import doubts
from lungseg.data.preprocess.base import Step
from lungseg.guide_masks import lungs_in
from lungseg.metrics.probabilities import predicted, probabilities
from lungseg.predictor import Loaded, Predictor, prepared_batch, read_pixels
from lungseg.types import Kind


@dataclass(frozen=True)
class Classification:
    """What the network says of one radiograph.

    Attributes:
        probabilities: class -> probability in [0, 1]; of a multiclass they sum to 1.
        predicted: the most probable class; of labels those at or above their thresholds, joined by `|`.
        doubts: why the picture may be no frontal chest radiograph; empty where nothing speaks against it.
    """

    probabilities: dict[str, float]
    predicted: str
    doubts: list[str]


class Classifier(Loaded[Classification]):
    """Classifies radiographs of any size and depth.

    Made by `lungseg.load(checkpoint)`. Holds preprocessing, normalisation, network and thresholds of the checkpoint.

    Args:
        network: image (B, 1, H, W) float32 -> logits (B, C).
        steps: preprocessing, in order.
        normalize: with the constants of the checkpoint.
        classes: the C names.
        kind: multiclass or multilabel.
        thresholds: multilabel: probability from which a label is predicted; 0.5 where none is given.
        device: where the network runs.
        record: what the checkpoint says about itself.
        segmenter: draws the lungs for steps that want to know where they are; None where no step does.
    """

    def __init__(
        self,
        *,
        network: torch.nn.Module,
        steps: Mapping[str, Step],
        normalize: Normalize,
        classes: Sequence[str],
        kind: Kind,
        thresholds: Mapping[str, float],
        device: torch.device,
        record: Mapping[str, Any],
        segmenter: Predictor | None = None,
    ) -> None:
        super().__init__(network=network, steps=steps, normalize=normalize, device=device, record=record)
        self.classes = tuple(classes)
        self.kind: Kind = kind
        self.thresholds = dict(thresholds)
        self.segmenter = segmenter

    def many(self, images: Sequence[str | Path | NDArray[Any]], *, inverted: bool = False) -> list[Classification]:
        """Classify several radiographs in one pass through the network; arguments as for one."""
        if not images:
            return []
        read = [read_pixels(image, inverted=inverted) for image in images]
        lungs = None if self.segmenter is None else [lungs_in(found) for found in self.segmenter.many(read)]
        batch, _ = prepared_batch(read, self.steps, lungs)
        chances = probabilities(self.logits(batch), self.kind).astype(np.float32)
        named = predicted(chances, self.kind, self.classes, self.thresholds)
        return [
            Classification(dict(zip(self.classes, row.tolist(), strict=True)), name, doubts(pixels))
            for row, name, pixels in zip(chances, named, read, strict=True)
        ]
