"""The object behind predict, export and serve: a checkpoint made ready to segment radiographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lungseg.data.io import Radiograph, read_radiograph
from lungseg.data.normalize import Normalize
from lungseg.data.preprocess.base import Placement, Prepared, Step
from lungseg.errors import ResourceError
from lungseg.postprocess.chain import Postprocess

Found = TypeVar("Found")


@dataclass(frozen=True)
class Prediction:
    """What the network sees in one radiograph.

    Attributes:
        masks: structure -> (h, w) bool, at the radiograph's own size.
        probabilities: structure -> (h, w) float32 in [0, 1].
        image: (h, w) or (h, w, 3) uint8 or uint16 over its full range, bright = dense.
    """

    masks: dict[str, NDArray[np.bool_]]
    probabilities: dict[str, NDArray[np.float32]]
    image: NDArray[Any]

    def area_pixels(self, structure: str) -> int:
        """Return the structure's area in pixels of the radiograph."""
        return int(np.count_nonzero(self.masks[structure]))


class Loaded(Generic[Found]):
    """A checkpoint made ready for radiographs of any size and depth: what segmenting and classifying share.

    Args:
        network: image (B, 1, H, W) float32 -> logits.
        steps: preprocessing, in order.
        normalize: with the constants of the checkpoint.
        device: where the network runs.
        record: what the checkpoint says about itself.
    """

    def __init__(
        self,
        *,
        network: torch.nn.Module,
        steps: Mapping[str, Step],
        normalize: Normalize,
        device: torch.device,
        record: Mapping[str, Any],
    ) -> None:
        self.network = network.to(device).eval()
        self.steps = dict(steps)
        self.normalize = normalize
        self.device = device
        self.record = dict(record)

    def __call__(self, image: str | Path | NDArray[Any], *, inverted: bool = False) -> Found:
        """Say what one radiograph shows.

        Args:
            image: a file, or an array (h, w) or (h, w, 3) uint8 or uint16 over its full range, bright = dense.
            inverted: the radiograph shows dense tissue dark (MONOCHROME1); files that say so themselves are turned
                without it.

        Raises:
            DataError: the file is no readable radiograph.
            ValueError: the array is of another shape or dtype.
        """
        return self.many([image], inverted=inverted)[0]

    def many(self, images: Sequence[str | Path | NDArray[Any]], *, inverted: bool = False) -> list[Found]:
        """Say what several radiographs show, in one pass through the network; arguments as for one."""
        raise NotImplementedError

    def logits(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return the network's logits, float32, of prepared images (B, 1, H, W) uint8 or uint16."""
        with torch.inference_mode():
            found = self.network(self.normalize(torch.from_numpy(batch).to(self.device)))
        logits: NDArray[np.float32] = found.float().cpu().numpy()
        return logits


class Predictor(Loaded[Prediction]):
    """Segments radiographs of any size and depth.

    Made by `lungseg.load(checkpoint)`. Holds the preprocessing, normalisation, network and postprocessing of the
    checkpoint.

    Args:
        network: image (B, 1, H, W) float32 -> logits (B, K, H, W).
        steps: preprocessing, in order.
        normalize: with the constants of the checkpoint.
        postprocess: logits to masks.
        structures: the K names.
        device: where the network runs.
        record: what the checkpoint says about itself.
    """

    def __init__(
        self,
        *,
        network: torch.nn.Module,
        steps: Mapping[str, Step],
        normalize: Normalize,
        postprocess: Postprocess,
        structures: Sequence[str],
        device: torch.device,
        record: Mapping[str, Any],
    ) -> None:
        super().__init__(network=network, steps=steps, normalize=normalize, device=device, record=record)
        self.postprocess = postprocess
        self.structures = tuple(structures)

    def many(self, images: Sequence[str | Path | NDArray[Any]], *, inverted: bool = False) -> list[Prediction]:
        """Segment several radiographs in one pass through the network; arguments as for one."""
        if not images:
            return []
        read = [read_pixels(image, inverted=inverted) for image in images]
        batch, prepared = prepared_batch(read, self.steps)
        out = []
        for pixels, sample, plane in zip(read, prepared, self.logits(batch), strict=True):
            masks, probability = self.postprocess(plane, sample.placement, (pixels.shape[0], pixels.shape[1]))
            out.append(
                Prediction(
                    dict(zip(self.structures, masks, strict=True)),
                    dict(zip(self.structures, probability, strict=True)),
                    pixels,
                )
            )
        return out


def read_pixels(image: str | Path | NDArray[Any], *, inverted: bool = False) -> NDArray[Any]:
    """Return the pixels of a file or an array, bright = dense.

    Returns:
        (h, w) or (h, w, 3) uint8 or uint16 over its full range.

    Raises:
        DataError: the file is no readable radiograph.
        ValueError: the array is of another shape or dtype.
    """
    if isinstance(image, np.ndarray):
        fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype not in (np.uint8, np.uint16) or not fits:
            msg = f"an image array must be (h, w) or (h, w, 3) uint8 or uint16, not {image.shape} {image.dtype}"
            raise ValueError(msg)
        full = 255 if image.dtype == np.uint8 else 65535
        return np.asarray(full - image, image.dtype) if inverted else image
    radiograph: Radiograph = read_radiograph(image, inverted=inverted)
    return radiograph.pixels


def prepared_batch(
    images: Sequence[NDArray[Any]], steps: Mapping[str, Step], lungs: Sequence[NDArray[np.bool_]] | None = None
) -> tuple[NDArray[Any], list[Prepared]]:
    """Run the preprocessing over images as published.

    Args:
        images: (h, w) or (h, w, 3) each.
        steps: preprocessing, in order.
        lungs: (h, w) masks for steps that want to know where the lungs are.

    Returns:
        (B, 1, H, W) uint8, or uint16 where one of them is that deep, and the B prepared samples.
    """
    masks = [None] * len(images) if lungs is None else [mask.astype(np.uint8) for mask in lungs]
    prepared = [_prepare(pixels, steps, mask) for pixels, mask in zip(images, masks, strict=True)]
    deep = any(sample.image.dtype == np.uint16 for sample in prepared)
    batch = np.stack([_as_deep(sample.image) if deep else sample.image for sample in prepared])
    return batch[:, None], prepared


def _prepare(pixels: NDArray[Any], steps: Mapping[str, Step], lungs: NDArray[np.uint8] | None) -> Prepared:
    height, width = pixels.shape[:2]
    whole = Placement(0.0, 0.0, float(height), float(width))
    sample = Prepared(pixels, np.zeros((0, height, width), np.uint8), whole, guide=lungs)
    for step in steps.values():
        sample = step(sample)
    return sample


def _as_deep(image: NDArray[Any]) -> NDArray[np.uint16]:
    return image if image.dtype == np.uint16 else image.astype(np.uint16) * np.uint16(257)


def pick_device(name: str) -> torch.device:
    """Return the device of a name: `auto` takes a GPU where there is one.

    Raises:
        ResourceError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            msg = f"device={name}, but torch sees no CUDA device. Use device=cpu, or see: python -m lungseg doctor"
            raise ResourceError(msg)
    except RuntimeError as error:
        msg = f"device={name} is no device ({error}). Use auto, cpu, cuda or cuda:1"
        raise ResourceError(msg) from error
    return device
