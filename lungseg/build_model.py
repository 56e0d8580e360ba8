"""Configuration, or a checkpoint, to a network and what stands around it: preprocessing, postprocessing, predictor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lungseg import checkpoint
from lungseg.classifier import Classifier
from lungseg.data.guides import masks_wanted
from lungseg.data.labels import check_classes
from lungseg.data.normalize import Normalize
from lungseg.data.preprocess.base import Step
from lungseg.errors import CheckpointError, ConfigError
from lungseg.guide_masks import check_segmenter
from lungseg.instantiation import Config, make
from lungseg.postprocess.chain import Postprocess
from lungseg.postprocess.threshold import Threshold
from lungseg.predictor import Predictor, pick_device
from lungseg.types import Kind, channels


def kind_of(cfg: Config) -> Kind | None:
    """Return what a classifier says of an image, or None for segmentation."""
    kind: Kind | None = (cfg.get("task") or {}).get("kind")
    return kind


def classes_of(cfg: Config) -> list[str]:
    """Return the names of the classes, in order; none for segmentation.

    Raises:
        ConfigError: a classifier has none, or a name is wrong.
    """
    kind = kind_of(cfg)
    if kind is None:
        return []
    classes = list(cfg["data"].get("classes") or [])
    check_classes(classes)
    if kind == "multiclass" and len(classes) < 2:
        msg = (
            f"data.classes={classes} is a single class; task=multiclass tells several apart, task=multilabel takes one"
        )
        raise ConfigError(msg)
    return classes


def steps(cfg: Config) -> dict[str, Step]:
    """Build the preprocessing steps, in order."""
    return {
        name: make(node, f"preprocess.steps.{name}")
        for name, node in cfg["preprocess"]["steps"].items()
        if node is not None
    }


def postprocess(cfg: Config) -> Postprocess:
    """Build the postprocessing steps, in order."""
    return Postprocess(
        {
            name: make(node, f"postprocess.steps.{name}")
            for name, node in cfg["postprocess"]["steps"].items()
            if node is not None
        },
        activation=cfg["task"].get("activation", "sigmoid"),
    )


def network(cfg: Config, *, pretrained: bool = False) -> Any:
    """Build the network, its weights drawn from the config's seed.

    It gets one output per class; for segmentation one channel per structure, and one more for the background where
    `task.activation` is softmax.

    Args:
        cfg: the config.
        pretrained: also read what `model.weights` names; a network that gets its weights from a checkpoint must not
            look for them.
    """
    import torch

    node = dict(cfg["model"])
    wanted = channels(cfg["task"].get("activation", "sigmoid"), len(cfg["data"]["structures"]))
    node.setdefault("num_classes", wanted if kind_of(cfg) is None else len(classes_of(cfg)))
    if not pretrained and "weights" in node:
        node["weights"] = None
    torch.manual_seed(cfg["seed"])
    return make(node, "model")


def predictor(place: str | Path, *, device: str = "auto", threshold: float | None = None) -> Predictor | Classifier:
    """Make a checkpoint ready for radiographs: to segment them, or to classify them, as it was trained.

    Args:
        place: a checkpoint file, or a run folder (then its best).
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        threshold: instead of the checkpoint's own, in (0, 1); of labels one for all. A multiclass has none.

    Raises:
        ConfigError: there is no such checkpoint, or a threshold is given for a multiclass.
        CheckpointError: it is damaged or unsafe.
    """
    loaded = checkpoint.load(place)
    kind = kind_of(loaded.record["config"])
    return segmenter(loaded, device, threshold) if kind is None else classifier(loaded, kind, device, threshold)


def segmenter(loaded: checkpoint.Checkpoint, device: str, threshold: float | None) -> Predictor:
    """Make the checkpoint of a segmentation run ready; arguments as for `predictor`."""
    chain = postprocess(loaded.record["config"])
    if threshold is not None:
        first = next(iter(chain.steps))
        chain.steps[first] = Threshold(value=threshold)
    return Predictor(
        network=_trained(loaded),
        steps=steps(loaded.record["config"]),
        normalize=Normalize(**loaded.record["normalize"]),
        postprocess=chain,
        structures=loaded.record["structures"],
        device=pick_device(device),
        record=loaded.record,
    )


def classifier(
    loaded: checkpoint.Checkpoint, kind: Kind, device: str, threshold: float | None, *, draws_lungs: bool = True
) -> Classifier:
    """Make the checkpoint of a classifier ready; arguments as for `predictor`.

    Args:
        loaded: the checkpoint.
        kind: of its classes.
        device: as for `predictor`.
        threshold: as for `predictor`.
        draws_lungs: also load the network that draws the lung masks which preprocessing wants; False where the caller
            has masks of its own.
    """
    chain = steps(loaded.record["config"])
    masks = masks_wanted(chain) if draws_lungs else None
    thresholds = dict(loaded.record.get("thresholds") or {})
    classes = loaded.record["classes"]
    if threshold is not None:
        if kind == "multiclass":
            msg = (
                f"threshold={threshold}, but {loaded.path} tells {', '.join(classes)} apart and takes the most "
                "probable one; leave the threshold out"
            )
            raise ConfigError(msg)
        thresholds = dict.fromkeys(classes, threshold)
    return Classifier(
        network=_trained(loaded),
        steps=chain,
        normalize=Normalize(**loaded.record["normalize"]),
        segmenter=None if masks is None else lung_segmenter(masks, device)[1],
        classes=classes,
        kind=kind,
        thresholds=thresholds,
        device=pick_device(device),
        record=loaded.record,
    )


def lung_segmenter(place: str, device: str = "auto") -> tuple[checkpoint.Checkpoint, Predictor]:
    """Load the segmentation net that draws the lungs for preprocessing.

    Args:
        place: value of `preprocess.steps.lungs.masks`.
        device: as for `predictor`.

    Raises:
        ConfigError: it is no checkpoint; the masks that sets publish, or that lie in a folder, are of their own
            radiographs only.
        CheckpointError: it is damaged, or of a classifier.
    """
    key = f"preprocess.steps.lungs.masks={place}"
    try:
        loaded = checkpoint.load(place)
    except ConfigError as error:
        why = str(error).removeprefix("checkpoint=")
        msg = f"{key} names no checkpoint of a segmentation net, which has to draw the lungs here: {why}"
        raise ConfigError(msg) from error
    if kind_of(loaded.record["config"]) is not None:
        msg = f"{key} is a classifier and draws no lungs; give the checkpoint of a segmentation run"
        raise CheckpointError(msg)
    found = segmenter(loaded, device, None)
    check_segmenter(found, key)
    return loaded, found


def _trained(loaded: checkpoint.Checkpoint) -> Any:
    """Build the network of a checkpoint with its weights."""
    import torch

    holder = torch.nn.Module()
    holder.model = network(loaded.record["config"])
    weights = {name: value for name, value in loaded.weights.items() if name.startswith("model.")}
    checkpoint.load_weights(holder, replace(loaded, weights=weights))
    return holder.model
