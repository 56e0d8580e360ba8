"""The recipe behind a printed row, and in what a run departs from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lungseg.report.reader import Run
from lungseg.report.wording import listed, part_name, some, source_name, to_count

WORDS = {
    "augment": "augmentation",
    "data.batch_size": "batch size",
    "data.sources": "data set",
    "loss": "loss",
    "model": "net",
    "model.weights": "set of initial weights",
    "optimizer": "optimiser",
    "optimizer.eps": "optimiser’s epsilon",
    "optimizer.lr": "learning rate",
    "preprocess.steps.resize.size": "input size",
    "scheduler": "schedule",
    "split": "split",
    "task.activation": "activation",
    "test": "tested checkpoint",
    "trainer.max_epochs": "number of epochs",
}
LIMITS = ("overfit_batches", "limit_train_batches", "limit_val_batches", "limit_test_batches")
_UNKNOWN = object()


@dataclass(frozen=True)
class Recipe:
    """What a run must have been set to in order to be the paper's.

    Attributes:
        stated: what the paper says, by dotted key of our config. A key that holds an object is given by its class, one
            that holds sources by their names.
        chosen: what our full recipe takes where the paper says nothing.
        parameters: sizes that the net can have, empty when unknown.
        images: number of images by part of the split, as the paper says it.
    """

    stated: Mapping[str, Any] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[int, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)


def departures(run: Run, recipe: Recipe) -> list[str]:
    """Say in words what a run was set to otherwise than the recipe; what its folder does not tell is left out.

    Args:
        run: the run.
        recipe: of the paper's row that it is held against.

    Returns:
        A sentence each, the number of epochs first; empty when the run is the recipe in full.
    """
    found = [
        _sentence(key, ours, theirs, stated=stated)
        for settings, stated in ((recipe.stated, True), (recipe.chosen, False))
        for key, theirs in settings.items()
        if (ours := _setting(run, key)) is not _UNKNOWN and not _same(ours, theirs)
    ]
    epochs = to_count(run.get("trainer.max_epochs"))
    if run.epochs is not None and epochs is not None and int(run.epochs["epoch"].max()) < epochs:
        found.append(f"It stopped after epoch {int(run.epochs['epoch'].max())} of {epochs}.")
    limits = [f"trainer.{key}={value}" for key in LIMITS if _limits(value := run.get(f"trainer.{key}"))]
    if limits:
        found.append(f"It saw only a part of its images: {', '.join(limits)}.")
    size = to_count(run.model.get("parameters"))
    if recipe.parameters and size is not None and size not in recipe.parameters:
        full = listed([f"{number:,}" for number in recipe.parameters]).replace(" and ", " or ")
        found.append(f"Its net has {size:,} parameters; the paper’s has {full}.")
    return found + _images(run, recipe)


def _limits(value: object) -> bool:
    """Whether a limit of Lightning's takes anything away: 1.0 is all batches, 1 a single one, 0 switches it off."""
    return bool(value) and not (isinstance(value, float) and value == 1)


def _images(run: Run, recipe: Recipe) -> list[str]:
    split = run.data.get("split")
    counts = split.get("counts") if isinstance(split, Mapping) else None
    ours = {part: to_count(n) for part, n in counts.items()} if isinstance(counts, Mapping) else {}
    return [
        f"Its {part_name(part)} part holds {some(found, 'image')}; the paper’s {theirs:,}."
        for part, theirs in recipe.images.items()
        if (found := ours.get(part)) is not None and found != theirs
    ]


def _setting(run: Run, key: str) -> Any:
    """A value of the config; of an object its class, of the sources their names. The size comes from the net's input.

    A key that no file gives is unknown, which is something else than null.
    """
    if key == "preprocess.steps.resize.size" and isinstance(run.model.get("input_size"), list):
        return run.model["input_size"]
    node: Any = run.config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _UNKNOWN
        node = node[part]
    if key == "data.sources":
        return sorted(name for name, source in node.items() if source is not None) if node else []
    return str(node["_target_"]).rpartition(".")[2] if isinstance(node, Mapping) and "_target_" in node else node


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return list(ours) == list(theirs)
    return bool(ours == theirs)


def _sentence(key: str, ours: Any, theirs: Any, *, stated: bool) -> str:
    if key == "trainer.max_epochs" and stated and isinstance(ours, int):
        return f"It was set to {some(ours, 'epoch')}; the paper trains for {theirs}."
    what = WORDS.get(key, f"`{key}`")
    whose = "the paper’s is" if stated else "the full recipe’s, where the paper states none, is"
    return f"Its {what} is {_said(ours)}; {whose} {_said(theirs)}."


def _said(value: Any) -> str:
    """Say a setting.

    Example:
        >>> _said([300, 340]), _said(None), _said(["jsrt", "montgomery"]), _said(0.001)
        ('300 x 340', 'none', 'JSRT and Montgomery', '0.001')
    """
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        numbers = all(isinstance(item, int | float) for item in value)
        return " x ".join(f"{item:g}" for item in value) if numbers else listed([source_name(str(v)) for v in value])
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
