"""Types of the root keys of every verb.

They refuse `seed=abc`, and a mistyped top-level key inside a YAML file, which Hydra alone lets pass in silence. Values
stand in `conf/<verb>.yaml`; what stands below a `_target_` is typed by the signature of the target instead
(`lungseg.cli.nodes`), so that no class is described twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import MISSING


@dataclass
class PathsSchema:
    """Folders that are read and written."""

    data: str = MISSING
    outputs: str = MISSING
    store: str = MISSING
    cache: str = MISSING
    cache_gb: float = MISSING
    results: str | None = MISSING


@dataclass
class PaperSchema:
    """What a paper printed, and which of our metrics it is held against."""

    key: str | None = None
    row: Any = None
    reported: dict[str, float] = field(default_factory=dict)
    compare: dict[str, Any] = field(default_factory=dict)
    note: str | None = None


@dataclass
class VerbSchema:
    """What every verb has."""

    paths: PathsSchema = field(default_factory=PathsSchema)


@dataclass
class TrainSchema(VerbSchema):
    """Root keys and groups of `train`."""

    name: str = MISSING
    seed: int = MISSING
    split_seed: int | None = MISSING
    resume: str | None = MISSING
    report: bool = MISSING
    test: str = MISSING
    test_parts: list[str] = MISSING
    monitor: str = MISSING
    monitor_mode: str = MISSING
    lung_masks: str = MISSING
    allow_leakage: bool = MISSING
    n_boot: int = MISSING
    paper: PaperSchema = field(default_factory=PaperSchema)
    task: Any = None
    data: Any = None
    split: Any = None
    balance: Any = None
    preprocess: Any = None
    augment: Any = None
    model: Any = None
    loss: Any = None
    optimizer: Any = None
    scheduler: Any = None
    metrics: Any = None
    postprocess: Any = None
    trainer: Any = None
    callbacks: Any = None
    logger: Any = None


@dataclass
class EvaluateSchema(VerbSchema):
    """Root keys and groups of `evaluate`."""

    checkpoint: str = MISSING
    parts: list[str] = MISSING
    lung_masks: str = MISSING
    batch_size: int | None = MISSING
    num_workers: int = MISSING
    device: str = MISSING
    devices: int = MISSING
    threshold: float | None = MISSING
    report: bool = MISSING
    allow_leakage: bool = MISSING
    n_boot: int = MISSING
    data: Any = None
    split: Any = None
    preprocess: Any = None


@dataclass
class PredictSchema(VerbSchema):
    """Root keys and groups of `predict`."""

    checkpoint: str = MISSING
    input: str = MISSING
    output: str | None = MISSING
    overlay: bool = MISSING
    batch_size: int = MISSING
    num_workers: int = MISSING
    device: str = MISSING
    threshold: float | None = MISSING


@dataclass
class ExplainSchema(VerbSchema):
    """Root keys and groups of `explain`."""

    checkpoint: str = MISSING
    input: str | None = MISSING
    output: str | None = MISSING
    classes: Any = MISSING
    lung_masks: str | None = MISSING
    neighbours: int = MISSING
    embedding: bool = MISSING
    parts: list[str] = MISSING
    perplexity: float = MISSING
    seed: int = MISSING
    batch_size: int = MISSING
    device: str = MISSING
    explain: Any = None


@dataclass
class ReportSchema(VerbSchema):
    """Root keys of `report`."""

    runs: Any = MISSING
    output: str | None = MISSING
    title: str | None = MISSING


@dataclass
class CheckSchema(VerbSchema):
    """Root keys and groups of `check`."""

    output: str | None = MISSING
    sheet: int = MISSING
    data: Any = None


@dataclass
class PrepareSchema(VerbSchema):
    """Root keys and groups of `prepare`."""

    lung_masks: str = MISSING
    jobs: int | None = MISSING
    data: Any = None
    preprocess: Any = None


@dataclass
class TuneSchema(VerbSchema):
    """Root keys and groups of `tune`."""

    run: list[str] = MISSING
    config_dirs: list[str] = MISSING
    name: str | None = MISSING
    seed: int = MISSING
    workers: int = MISSING
    threads: int | None = MISSING
    gpus: Any = MISSING
    storage: str = MISSING
    retry: bool = MISSING
    report: bool = MISSING
    search: Any = None


@dataclass
class DoctorSchema(VerbSchema):
    """Root keys of `doctor`."""


SCHEMAS: dict[str, type[VerbSchema]] = {
    "train": TrainSchema,
    "evaluate": EvaluateSchema,
    "predict": PredictSchema,
    "explain": ExplainSchema,
    "report": ReportSchema,
    "check": CheckSchema,
    "prepare": PrepareSchema,
    "tune": TuneSchema,
    "doctor": DoctorSchema,
}


def names(owner: str) -> list[str]:
    """Return the keys of a schema by its class name, [] for another name.

    Example:
        >>> names("PathsSchema")
        ['data', 'outputs', 'store', 'cache', 'cache_gb', 'results']
    """
    known: tuple[type[Any], ...] = (*SCHEMAS.values(), PathsSchema, PaperSchema)
    return [entry.name for cls in known if cls.__name__ == owner for entry in fields(cls)]


def register() -> None:
    """Hand the schemas to Hydra under the names that the root files list first."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for verb, schema in SCHEMAS.items():
        store.store(name=f"{verb}_schema", node=schema, provider="lungseg")
