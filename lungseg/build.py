"""Configuration to objects for a run; with `build_model` and `build_data` the only place that instantiates a config."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import get_class

from lungseg.build_data import Data, data, keep_table, refuse_shared_patients, sources, store, structures_of, table
from lungseg.build_model import classes_of, kind_of, network, postprocess, predictor, steps
from lungseg.errors import ConfigError
from lungseg.instantiation import Config, make
from lungseg.quiet import silence
from lungseg.types import channels

if TYPE_CHECKING:
    from lungseg.callbacks.per_sample import PerSample
    from lungseg.callbacks.per_sample_classes import PerSampleClasses
    from lungseg.callbacks.postprocess_choice import PostprocessChoice
    from lungseg.callbacks.threshold_choice import ThresholdChoice

__all__ = [
    "Config", "Data", "boundary", "callbacks", "classes_of", "data", "keep_table", "kind_of", "loggers", "loss", "make",
    "network", "postprocess", "postprocess_choice", "predictor", "refuse_shared_patients", "sources", "steps", "store",
    "structures_of", "summarise", "table", "task", "tester", "threshold_choice", "trainer",
]  # fmt: skip


def postprocess_choice(cfg: Config) -> PostprocessChoice | None:
    """Build what chooses the postprocessing on the validation part, or None where nothing is to be chosen."""
    search = cfg["postprocess"].get("search") or []
    if not search or kind_of(cfg) is not None:
        return None
    from lungseg.callbacks.postprocess_choice import PostprocessChoice  # lightning takes seconds to import

    return PostprocessChoice(postprocess=postprocess(cfg), search=search)


def loss(cfg: Config, *, counts: Any = None) -> Any:
    """Build the loss, and try it on logits of the shape that the network will give.

    Args:
        cfg: the config.
        counts: (C, 2) images of the training part that are of each class and that are not; handed to a loss whose
            constructor takes `counts`.

    Raises:
        ConfigError: the loss takes other channels, or is of another task.
    """
    import torch

    kind = kind_of(cfg)
    given = {} if counts is None or not _takes(cfg["loss"], "counts") else {"counts": counts}
    built = make(cfg["loss"], "loss", **given).eval()
    meant = tuple(getattr(built, "kinds", ()))
    if kind is None:
        activation, structures = cfg["task"].get("activation", "sigmoid"), len(cfg["data"]["structures"])
        what = f"task.activation={activation} with {structures} structures"
        logits = torch.zeros(1, channels(activation, structures), 16, 16)
        target: tuple[Any, ...] = (torch.zeros(1, structures, 16, 16, dtype=torch.uint8), None)
    else:
        classes = len(classes_of(cfg))
        what = f"task={kind} with {classes} classes"
        logits = torch.zeros(2, classes)
        target = (torch.zeros(2, dtype=torch.int64) if kind == "multiclass" else torch.zeros(2, classes),)
    try:
        if kind not in meant and (kind is not None or meant):
            msg = f"{type(built).__name__} is a loss for {' or '.join(meant) or 'segmentation'}"
            raise ValueError(msg)
        built(logits, *target)
    except ValueError as error:
        msg = f"loss does not fit {what}: {error}"
        raise ConfigError(msg) from error
    return built.train()


def _takes(node: Config, argument: str) -> bool:
    """Tell whether the constructor that a node names takes an argument which the node does not give."""
    return argument not in node and argument in inspect.signature(get_class(node["_target_"])).parameters


def task(cfg: Config, *, pretrained: bool = False, counts: Any = None) -> Any:
    """Build the task around network, loss, optimiser, scheduler; `pretrained` as for `network`, `counts` for `loss`."""
    if kind_of(cfg) is None:
        more = {"structures": cfg["data"]["structures"], "threshold": postprocess(cfg).threshold}
    else:
        more = {"classes": classes_of(cfg)}
    return make(
        cfg["task"],
        "task",
        model=network(cfg, pretrained=pretrained),
        loss=loss(cfg, counts=counts),
        optimizer=make(cfg["optimizer"], "optimizer"),
        scheduler=make(cfg["scheduler"], "scheduler") if cfg.get("scheduler") else None,
        monitor=cfg["monitor"],
        seed=cfg["seed"],
        **more,
    )


def summarise(cfg: Config) -> Any:
    """Build the function that makes the table of results from the per-sample table."""
    return make(cfg["metrics"]["summary"], "metrics.summary")


def boundary(cfg: Config) -> Any:
    """Build what measures outlines, or None where `metrics.boundary` is null or the config is older than it."""
    node = cfg["metrics"].get("boundary")
    return make(node, "metrics.boundary") if node else None


def threshold_choice(cfg: Config) -> ThresholdChoice | None:
    """Build what chooses the thresholds of labels on the validation part, or None where nothing is to be chosen."""
    node = cfg["metrics"].get("thresholds")
    if kind_of(cfg) != "multilabel" or not node:
        return None
    from lungseg.callbacks.threshold_choice import ThresholdChoice

    return ThresholdChoice(chooser=make(node, "metrics.thresholds"))


def tester(
    cfg: Config, *, facts: dict[str, Any], thresholds: Mapping[str, float] | None
) -> PerSample | PerSampleClasses:
    """Build what measures tested images and writes the results.

    Args:
        cfg: the config.
        facts: entries of metrics.json.
        thresholds: of the labels of a multilabel.
    """
    from lungseg.callbacks.per_sample import PerSample
    from lungseg.callbacks.per_sample_classes import PerSampleClasses

    kind = kind_of(cfg)
    if kind is None:
        return PerSample(
            postprocess=postprocess(cfg),
            summarise=summarise(cfg),
            n_boot=cfg["n_boot"],
            facts=facts,
            boundary=boundary(cfg),
        )
    return PerSampleClasses(
        kind=kind,
        classes=classes_of(cfg),
        summarise=summarise(cfg),
        n_boot=cfg["n_boot"],
        facts=facts,
        thresholds=thresholds,
    )


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
    made = make(
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
    if cfg["trainer"].get("sync_batchnorm") and made.strategy.root_device.type == "cpu":
        msg = (
            "trainer.sync_batchnorm=true needs GPUs: PyTorch joins the statistics of batch norms of several processes "
            "there only. Set it to false, or take a network with another normalisation"
        )
        raise ConfigError(msg)
    return made
