"""Read a run folder; whatever is missing or damaged becomes a note, never an error."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lungseg.errors import ConfigError
from lungseg.report.finder import WHAT_A_RUN_IS, is_run
from lungseg.report.wording import to_count, to_float
from lungseg.stats.bootstrap import Interval

PART_ORDER = ("test", "val", "train")
SAMPLE_COLUMNS = ("part", "source", "sample_id", "subject_id", "structure", "dice")
CLASS_COLUMNS = ("part", "source", "sample_id", "subject_id", "label", "predicted")
SEGMENTATION, KINDS = "segmentation", ("multiclass", "multilabel")
CLASSES = "classes"
"""Stands for the structure in the scores of a classification: all classes together."""
_DAMAGE = (OSError, ValueError, TypeError, KeyError, NotImplementedError, yaml.YAMLError, RecursionError)


@dataclass(frozen=True)
class Scores:
    """What metrics.json says of one structure, on one source or on all, in one part of the split."""

    part: str
    source: str
    structure: str
    n: int | None
    n_subjects: int | None
    n_empty: int | None
    n_missed: int | None
    n_false: int | None
    metrics: Mapping[str, Interval]

    def metric(self, name: str) -> Interval:
        """The metric with its interval; all NaN when the run did not measure it."""
        nothing = Interval(math.nan, math.nan, math.nan, math.nan, 0, 0)
        return self.metrics.get(name, nothing)


@dataclass(frozen=True)
class Run:
    """A run folder as read.

    Attributes:
        folder: where it is.
        config, status, env, data, model, metrics: the files of that name; empty when missing or damaged.
        overrides: the command line's overrides.
        epochs: one row per epoch, or None.
        samples: one row per image and structure, or None; of a classification one row per image, with p_<class> and
            t_<class> (1, 0 or NaN = unknown).
        split: one row per sample with its part, or None.
        overlays: the entries of overlays/index.json.
        examples: the entries of examples/index.json, training images before and after preprocessing.
        embedding: one row per image of the map of features (x, y, label), or None.
        notes: what is missing or damaged, one sentence each.
    """

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    epochs: pd.DataFrame | None = None
    samples: pd.DataFrame | None = None
    split: pd.DataFrame | None = None
    overlays: tuple[Mapping[str, Any], ...] = ()
    examples: tuple[Mapping[str, Any], ...] = ()
    embedding: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The experiment's name, or the folder's."""
        name = self.config.get("name")
        return str(name) if name else self.folder.resolve().name

    @property
    def verb(self) -> str:
        """The verb that made the folder."""
        return str(self.status.get("verb") or "train")

    @property
    def state(self) -> str:
        """How the run ended; `unknown` when its status cannot be read."""
        return str(self.status.get("state") or "unknown")

    @property
    def kind(self) -> str:
        """`segmentation`, `multiclass` or `multilabel`."""
        said = str(self.metrics.get("kind") or self.get("task.kind") or "")
        return said if said in KINDS else SEGMENTATION

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of a classification, in order; empty for a segmentation."""
        named = self.metrics.get("classes") or self.get("data.classes")
        return tuple(str(name) for name in named) if isinstance(named, list) and self.kind != SEGMENTATION else ()

    def get(self, path: str, default: Any = None) -> Any:
        """A value of the config by its dotted path.

        Args:
            path: e.g. `trainer.max_epochs`.
            default: what to return where the config has no such key.

        Returns:
            The value, or the default when any part of the path is missing or null.
        """
        value: Any = self.config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return default if value is None else value

    def scores(self) -> list[Scores]:
        """All scores: test first, then validation; `all` before the single sources.

        Of a classification there is one for each part and source, all classes together (`structure` is CLASSES).
        """
        parts = self.metrics.get("parts")
        found = list(_scores(parts) if self.kind == SEGMENTATION else _class_scores(parts))
        known = {part: place for place, part in enumerate(PART_ORDER)}
        return sorted(found, key=lambda s: (known.get(s.part, len(known)), s.source != "all"))

    def main(self) -> Scores | None:
        """The scores that the report leads with: test if there is one, all sources, the first structure."""
        return next((scores for scores in self.scores() if scores.source == "all"), None)

    def trained_on(self) -> tuple[str, ...]:
        """The sources that the network was trained on, sorted."""
        named = self.metrics.get("trained_on")
        if not isinstance(named, list) or not named:
            named = list(_mapping(self.data.get("sources"))) if self.verb == "train" else []
        return tuple(sorted(str(name) for name in named))

    def tested_on(self, part: str) -> tuple[str, ...]:
        """The sources that the run was scored on in a part, sorted."""
        return tuple(sorted({found.source for found in self.scores() if found.part == part and found.source != "all"}))

    def has(self, part: str) -> bool:
        """Whether the run was scored on this part."""
        return any(scores.part == part for scores in self.scores())


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: a folder that holds a status.json.

    Returns:
        The run, with a note for each file that is missing where it should be there, or damaged.

    Raises:
        ConfigError: the folder is not a run folder.
    """
    if not is_run(folder):
        raise ConfigError(f"{folder} is not a run folder, it has no status.json: {WHAT_A_RUN_IS}")
    notes: list[str] = []

    def take(name: str, read: Callable[[Path], Any], empty: Any, needed: bool) -> Any:
        path = folder / name
        if not path.is_file():
            if needed:
                notes.append(f"{name} is missing.")
            return empty
        try:
            return read(path)
        except _DAMAGE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            notes.append(f"{name} is damaged and was left out ({reason[:160]}).")
            return empty

    status = take("status.json", _json_object, {}, True)
    trains = status.get("verb", "train") == "train"
    done = status.get("state") == "done"
    scored = done and status.get("verb", "train") in ("train", "evaluate")
    config = take("config.yaml", _yaml_object, {}, True)
    metrics = take("metrics.json", _json_object, {}, scored)
    classifies = Run(folder, config=config, metrics=metrics).kind != SEGMENTATION
    return Run(
        folder=folder,
        config=config,
        overrides=tuple(str(item) for item in take("overrides.yaml", _yaml_list, [], False)),
        status=status,
        env=take("env.json", _json_object, {}, True),
        data=take("data.json", _json_object, {}, trains),
        model=take("model.json", _json_object, {}, trains),
        metrics=metrics,
        epochs=take("epochs.csv", _epochs, None, trains),
        samples=take("per_sample.parquet", _class_samples if classifies else _samples, None, scored),
        split=take("split.parquet", _split, None, trains),
        # of a classification older than these pictures there are none
        overlays=tuple(take("overlays/index.json", _pictures, [], scored and not classifies)),
        examples=tuple(take("examples/index.json", _pictures, [], False)),
        embedding=take("embedding.parquet", _embedding, None, False),
        notes=tuple(notes),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _scores(parts: object) -> Iterator[Scores]:
    for part, sources in _mapping(parts).items():
        for source, structures in _mapping(sources).items():
            for structure, found in _mapping(structures).items():
                entry = _mapping(found)
                metrics = _mapping(entry.get("metrics"))
                yield Scores(
                    part=str(part),
                    source=str(source),
                    structure=str(structure),
                    n=to_count(entry.get("n")),
                    n_subjects=to_count(entry.get("n_subjects")),
                    n_empty=to_count(entry.get("n_empty")),
                    n_missed=to_count(entry.get("n_missed")),
                    n_false=to_count(entry.get("n_false")),
                    metrics={str(name): to_interval(value, entry) for name, value in metrics.items()},
                )


def _class_scores(parts: object) -> Iterator[Scores]:
    for part, sources in _mapping(parts).items():
        for source, found in _mapping(sources).items():
            entry = _mapping(found)
            yield Scores(
                part=str(part),
                source=str(source),
                structure=CLASSES,
                n=to_count(entry.get("n")),
                n_subjects=to_count(entry.get("n_subjects")),
                n_empty=None,
                n_missed=None,
                n_false=None,
                metrics={str(k): to_interval(v, entry) for k, v in _mapping(entry.get("metrics")).items()},
            )


def to_interval(value: object, entry: Mapping[str, Any]) -> Interval:
    """Read a value with its interval; n and n_subjects are those of the entry where it has none of its own."""
    found = _mapping(value)
    mean, sd, low, high = (to_float(found.get(key)) for key in ("mean", "sd", "low", "high"))
    n = to_count(found.get("n", entry.get("n"))) or 0
    return Interval(mean, sd, low, high, n, to_count(entry.get("n_subjects")) or 0)


def _json_object(path: Path) -> dict[str, Any]:
    return _object(json.loads(path.read_text(encoding="utf-8")))


def _yaml_object(path: Path) -> dict[str, Any]:
    return _object(yaml.safe_load(path.read_text(encoding="utf-8")))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it holds {type(value).__name__}, not named values")
    return value


def _yaml_list(path: Path) -> list[Any]:
    value = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    if not isinstance(value, list):
        raise ValueError(f"it holds {type(value).__name__}, not a list")
    return value


def _pictures(path: Path) -> list[Mapping[str, Any]]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, list) or not all(
        isinstance(item, dict) and isinstance(item.get("file"), str) for item in value
    ):
        raise ValueError("it is not a list of entries that name a file")
    return value


def _epochs(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path)
    if "epoch" not in frame:
        raise ValueError("it has no column named epoch")
    for column in frame:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    frame = frame.dropna(subset=["epoch"])
    if frame.empty:
        raise ValueError("it has no epoch")
    frame["epoch"] = frame["epoch"].astype(int)
    # a resumed run may have written an epoch twice: the later one is the one that counts
    return frame.drop_duplicates("epoch", keep="last").sort_values("epoch").reset_index(drop=True)


def _samples(path: Path) -> pd.DataFrame:
    return _parquet(path, SAMPLE_COLUMNS)


def _class_samples(path: Path) -> pd.DataFrame:
    frame = _parquet(path, CLASS_COLUMNS)
    classes = [str(column).removeprefix("p_") for column in frame if str(column).startswith("p_")]
    lacking = [f"t_{name}" for name in classes if f"t_{name}" not in frame]
    if not classes or lacking:
        raise ValueError(f"it has no column named {', '.join(lacking) or 'p_<class>'}")
    columns = [start + name for name in classes for start in ("p_", "t_")]
    return frame.assign(**{column: pd.to_numeric(frame[column], errors="raise").astype(float) for column in columns})


def _embedding(path: Path) -> pd.DataFrame:
    columns = ["sample_id", "part", "label", "x", "y"]
    frame = pd.read_parquet(path, columns=columns)  # it may hold the features as well, thousands of numbers an image
    frame = frame.astype(dict.fromkeys(columns[:3], str))
    return frame.assign(**{axis: pd.to_numeric(frame[axis], errors="raise").astype(float) for axis in ("x", "y")})


def _split(path: Path) -> pd.DataFrame:
    return _parquet(path, ("sample_id", "part"))


def _parquet(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise ValueError(f"it has no column named {', '.join(lacking)}")
    for column in columns:
        frame[column] = frame[column].astype(float if column == "dice" else str)
    return frame
