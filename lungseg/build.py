"""Configuration to objects: the only place that instantiates what a config names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from numpy.typing import NDArray

from lungseg import checkpoint
from lungseg.data.datamodule import LungDataModule
from lungseg.data.normalize import Normalize
from lungseg.data.preprocess.base import Step
from lungseg.data.sources.base import Source
from lungseg.data.splits import check_subjects, split_hash
from lungseg.data.store import Store
from lungseg.data.structures import check_structures
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError, LungsegError
from lungseg.postprocess.chain import Postprocess
from lungseg.postprocess.threshold import Threshold
from lungseg.predictor import Predictor, pick_device
from lungseg.quiet import silence
from lungseg.types import Part, channels

if TYPE_CHECKING:
    from lungseg.callbacks.postprocess_choice import PostprocessChoice

log = logging.getLogger(__name__)

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Data:
    """A datamodule, and what the run folder says about it.

    Attributes:
        module: serves the batches.
        facts: content of data.json.
    """

    module: LungDataModule
    facts: dict[str, Any]


def make(node: Any, key: str, **given: Any) -> Any:
    """Instantiate one node; an error of ours comes out as itself, any other names the key.

    Args:
        node: with a `_target_`.
        key: of the node in the config, for the message.
        given: arguments that only code can know.

    Raises:
        ConfigError: the class refuses its arguments, or cannot be imported.
    """
    try:
        return instantiate(node, _convert_="all", **given)
    except InstantiationException as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
            if isinstance(cause, LungsegError):
                raise cause from None
        what = f"{type(cause).__name__}: {cause}"
        msg = f"{key}: {node.get('_target_')} cannot be built: {what}. Check the keys below {key}"
        raise ConfigError(msg) from error


def sources(cfg: Config) -> dict[str, Source]:
    """Build the data sources by name, without touching their files.

    Raises:
        ConfigError: there is none.
    """
    found = {
        name: make(node, f"data.sources.{name}") for name, node in cfg["data"]["sources"].items() if node is not None
    }
    if not found:
        msg = "data.sources is empty; choose a data set: data=jsrt"
        raise ConfigError(msg)
    return found


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


def table(cfg: Config, path: Path | None = None) -> tuple[SamplesTable, dict[str, tuple[Source, Path]], dict[str, Any]]:
    """Index all sources into one samples table.

    Args:
        cfg: the config.
        path: write the table there and map it into memory, so that a million rows cost what a thousand do.

    Returns:
        The table, name -> (source, its root), and name -> facts for data.json.
    """
    structures = cfg["data"]["structures"]
    check_structures(structures)
    homes: dict[str, tuple[Source, Path]] = {}
    facts: dict[str, Any] = {}
    rows = []
    for name, source in sources(cfg).items():
        index = source.index()
        source.check_structures(index.rows, structures)
        homes[name] = (source, index.root)
        rows.extend(index.rows)
        facts[name] = {
            "n": len(index.rows),
            "n_subjects": len({row["subject_id"] for row in index.rows}),
            "root": str(index.root),
            "title": source.title,
            "convention": source.convention,
            "aside": len(index.aside),
            "dropped": len(index.dropped),
            "notes": list(index.notes),
        }
    return SamplesTable.from_rows(rows, path=path), homes, facts


def store(
    cfg: Config,
    samples: SamplesTable,
    homes: Mapping[str, tuple[Source, Path]],
    *,
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
) -> Store:
    """Fill and open the store of the config's preprocessing."""
    structures = cfg["data"]["structures"]
    check_structures(structures)
    return Store.build(
        samples,
        homes,
        steps=steps(cfg),
        structures=structures,
        folder=Path(cfg["paths"]["store"]),
        jobs=jobs,
        progress=progress,
    )


def data(
    cfg: Config,
    run_dir: Path,
    *,
    test_parts: tuple[Part, ...],
    normalize: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
) -> Data:
    """Build the datamodule: table, split, store.

    Args:
        cfg: the config.
        run_dir: gets samples.arrow.
        test_parts: parts that the test loader serves.
        normalize: constants of a checkpoint; None takes those of the config, fitted on the training part if asked.
        progress: of filling the store.
        jobs: processes that fill the store.
    """
    path = run_dir / "samples.arrow"
    samples, homes, facts = table(cfg, _beside(path) if path.exists() else path)
    split = make(cfg["split"], "split")
    parts: NDArray[np.str_] = np.asarray(split.assign(samples, cfg["seed"]))
    if not cfg.get("allow_leakage", False):
        check_subjects(samples, parts)
        refuse_shared_patients(homes)
    filled = store(cfg, samples, homes, progress=progress, jobs=jobs)
    norm = make(cfg["preprocess"]["normalize"], "preprocess.normalize")
    if normalize is not None:
        norm.mean, norm.std = normalize["mean"], normalize["std"]
    module = LungDataModule(
        table=samples,
        parts=parts,
        store=filled,
        normalize=norm,
        sources=homes,
        augment=make(cfg["augment"], "augment") if cfg.get("augment") else None,
        batch_size=cfg["data"]["batch_size"],
        num_workers=cfg["data"]["num_workers"],
        seed=cfg["seed"],
        test_parts=test_parts,
    )
    size = "x".join(str(side) for side in filled.size)
    return Data(
        module,
        {
            "sources": facts,
            "split": {
                "strategy": str(cfg["split"]["_target_"]).rsplit(".", 1)[-1],
                **{key: value for key, value in cfg["split"].items() if key != "_target_"},
                "seed": cfg["seed"],
                "hash": split_hash(samples, parts),
                "by": getattr(split, "by", "subject"),
                "counts": {str(p): int((parts == p).sum()) for p in ("train", "val", "test", "unused")},
                "subjects": _subjects(samples, parts),
            },
            "preprocess": f"{', '.join(cfg['preprocess']['steps'])}; {size}, {filled.dtype}",
            "normalize": {"mean": norm.mean, "std": norm.std},
            "structures": list(cfg["data"]["structures"]),
            "convention": {name: source.convention for name, (source, _) in homes.items()},
        },
    )


def keep_table(run_dir: Path) -> None:
    """Let the samples table that `data` wrote for a resumed run replace the one that the run began with."""
    path = run_dir / "samples.arrow"
    if _beside(path).exists():
        _beside(path).replace(path)


def _beside(path: Path) -> Path:
    """Return where a table waits until it is known that the run may go on."""
    return path.with_name(f".{path.name}.new")


def refuse_shared_patients(homes: Mapping[str, tuple[Source, Path]]) -> None:
    """Refuse a union of sources that hold the same patients under different ids: no split could keep them apart.

    Raises:
        DataError: names the two sources.
    """
    for name, (source, _) in homes.items():
        for other in source.shares_patients_with:
            if other in homes:
                msg = (
                    f"data.sources holds both {name} and {other}, which have patients in common under different names: "
                    f"a patient could be trained on and tested. Take one out: data.sources.{other}=null"
                )
                raise DataError(msg)


def _subjects(samples: SamplesTable, parts: NDArray[np.str_]) -> dict[str, int]:
    subjects = np.asarray(samples.column("subject_id").to_pylist(), dtype=object)
    return {part: len(set(subjects[parts == part])) for part in ("train", "val", "test", "unused")}


def postprocess_choice(cfg: Config) -> PostprocessChoice | None:
    """Build what chooses the postprocessing on the validation part, or None where nothing is to be chosen."""
    search = cfg["postprocess"].get("search") or []
    if not search:
        return None
    from lungseg.callbacks.postprocess_choice import PostprocessChoice  # lightning takes seconds to import

    return PostprocessChoice(postprocess=postprocess(cfg), search=search)


def network(cfg: Config, *, pretrained: bool = False) -> Any:
    """Build the network, its weights drawn from the config's seed.

    It gets one output channel per structure, and one more for the background where `task.activation` is softmax.

    Args:
        cfg: the config.
        pretrained: also read what `model.weights` names; a network that gets its weights from a checkpoint must not
            look for them.
    """
    import torch

    node = dict(cfg["model"])
    node.setdefault("num_classes", channels(cfg["task"].get("activation", "sigmoid"), len(cfg["data"]["structures"])))
    if not pretrained and "weights" in node:
        node["weights"] = None
    torch.manual_seed(cfg["seed"])
    return make(node, "model")


def loss(cfg: Config) -> Any:
    """Build the loss, and try it on logits of the shape that the network will give.

    Raises:
        ConfigError: the loss takes other channels.
    """
    import torch

    built = make(cfg["loss"], "loss").eval()
    activation, structures = cfg["task"].get("activation", "sigmoid"), len(cfg["data"]["structures"])
    logits = torch.zeros(1, channels(activation, structures), 16, 16)
    try:
        built(logits, torch.zeros(1, structures, 16, 16, dtype=torch.uint8), None)
    except ValueError as error:
        msg = f"loss does not fit task.activation={activation} with {structures} structures: {error}"
        raise ConfigError(msg) from error
    return built.train()


def task(cfg: Config, *, pretrained: bool = False) -> Any:
    """Build the task around network, loss, optimiser and scheduler; `pretrained` as for `network`."""
    return make(
        cfg["task"],
        "task",
        model=network(cfg, pretrained=pretrained),
        loss=loss(cfg),
        optimizer=make(cfg["optimizer"], "optimizer"),
        scheduler=make(cfg["scheduler"], "scheduler") if cfg.get("scheduler") else None,
        structures=cfg["data"]["structures"],
        threshold=postprocess(cfg).threshold,
        monitor=cfg["monitor"],
        seed=cfg["seed"],
    )


def summarise(cfg: Config) -> Any:
    """Build the function that makes the table of results from the per-sample table."""
    return make(cfg["metrics"]["summary"], "metrics.summary")


def boundary(cfg: Config) -> Any:
    """Build what measures outlines, or None where `metrics.boundary` is null or the config is older than it."""
    node = cfg["metrics"].get("boundary")
    return make(node, "metrics.boundary") if node else None


def callbacks(cfg: Config) -> dict[str, Any]:
    """Build the callbacks by name; an entry set to null is left out."""
    return {
        name: make(node, f"callbacks.{name}") for name, node in (cfg.get("callbacks") or {}).items() if node is not None
    }


def loggers(cfg: Config, run_dir: Path) -> list[Any]:
    """Build the loggers; each writes into the run folder."""
    silence()
    return [
        make(node, f"logger.{name}", save_dir=str(run_dir))
        for name, node in (cfg.get("logger") or {}).items()
        if node is not None
    ]


def trainer(cfg: Config, run_dir: Path, *, callbacks: list[Any], loggers: list[Any]) -> Any:
    """Build the Lightning trainer."""
    silence()
    with suppress(KeyError):
        if int(cfg["trainer"]["max_epochs"]) < 1:
            msg = f"trainer.max_epochs={cfg['trainer']['max_epochs']} must be at least 1"
            raise ConfigError(msg)
    return make(
        cfg["trainer"],
        "trainer",
        default_root_dir=str(run_dir),
        callbacks=callbacks,
        logger=loggers,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )


def predictor(place: str | Path, *, device: str = "auto", threshold: float | None = None) -> Predictor:
    """Make a checkpoint ready to segment radiographs.

    Args:
        place: a checkpoint file, or a run folder (then its best).
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        threshold: instead of the checkpoint's own, in (0, 1).

    Raises:
        ConfigError: there is no such checkpoint.
        CheckpointError: it is damaged or unsafe.
    """
    import torch

    loaded = checkpoint.load(place)
    cfg = loaded.record["config"]
    net = network(cfg)
    holder = torch.nn.Module()
    holder.model = net
    weights = {name: value for name, value in loaded.weights.items() if name.startswith("model.")}
    checkpoint.load_weights(holder, replace(loaded, weights=weights))
    chain = postprocess(cfg)
    if threshold is not None:
        first = next(iter(chain.steps))
        chain.steps[first] = Threshold(value=threshold)
    return Predictor(
        network=net,
        steps=steps(cfg),
        normalize=Normalize(**loaded.record["normalize"]),
        postprocess=chain,
        structures=loaded.record["structures"],
        device=pick_device(device),
        record=loaded.record,
    )
