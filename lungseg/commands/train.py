"""Train a network, test it, write the report."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping

from lungseg import __version__, build, checkpoint, distributed
from lungseg.callbacks.checkpoint_file import CheckpointFile
from lungseg.callbacks.postprocess_choice import Choice
from lungseg.commands.machine import cores, store_progress
from lungseg.commands.tested import describe, log_headline, require_enough, write_data
from lungseg.config import differences
from lungseg.errors import CheckpointError, ConfigError
from lungseg.metrics.thresholds import LabelThreshold
from lungseg.models.statistics import slow_statistics
from lungseg.run_folder import is_first_process, recording, refuse_small_disk, take_up, write_json, writing

log = logging.getLogger(__name__)

FIXED = (
    "config.model", "config.task", "config.loss", "config.optimizer", "config.scheduler", "config.augment",
    "config.preprocess", "config.data.batch_size", "structures", "classes", "normalize", "split_hash", "config.seed",
    "config.balance",
)  # fmt: skip
"""What a resumed run may not change. Optimiser and scheduler come out of the checkpoint: a change would do nothing."""


def run(cfg: dict[str, Any]) -> int:
    """Run the verb.

    Args:
        cfg: the resolved config, with `verb`, `run_dir` and `overrides`.

    Returns:
        0; every failure is raised.
    """
    resumed = _state(cfg, Path(cfg["run_dir"]))
    with recording(cfg) as folder:
        train(cfg, folder, resumed)
    if cfg["report"] and is_first_process():
        from lungseg.report.html import write_report

        path = write_report([folder], folder)
        log.info("report: %s", path)
    return 0


def train(cfg: dict[str, Any], folder: Path, resumed: checkpoint.Checkpoint | None = None) -> None:
    """Fit and test into a run folder."""
    build.structures_of(cfg)
    # before the data: a mistake in it is told at once, and not after minutes of preparing radiographs. How many images
    # are of each class is not known yet: a loss that weighs them is built for one of each now, and again below
    task: Any = build.task(cfg, pretrained=resumed is None, counts=[[1, 1]] * len(build.classes_of(cfg)) or None)
    choice, limits = build.postprocess_choice(cfg), build.threshold_choice(cfg)
    data = build.data(cfg, folder, test_parts=tuple(cfg["test_parts"]), progress=store_progress(), jobs=cores())
    module = data.module
    module.require("train")
    if cfg["test"] != "none":
        module.require(*cfg["test_parts"])
    if cfg["task"].get("activation") == "softmax":
        module.require_disjoint("train", "val", *cfg["test_parts"])
    if module.classes:
        module.require_classes()
        task.loss = build.loss(cfg, counts=module.class_counts())
    if limits is not None:
        limits.require(module)
    if module.store.structures:
        warn_of_conventions(data.facts["convention"])
    task.record = record(cfg, data)
    if resumed is not None:
        refuse_other_run(resumed, task.record)
    refuse_small_disk(folder, weights=sum(p.numel() * p.element_size() for p in task.parameters()))
    if cfg.get("resume"):
        take_up(cfg, folder)
    if is_first_process():
        write_data(folder, module, data.facts)
        write_json(folder / "model.json", describe(task.model, module.store.size))
    callbacks = build.callbacks(cfg)
    if not len(module.positions("val")):
        for name, callback in callbacks.items():
            if isinstance(callback, EarlyStopping):
                msg = f"callbacks.{name} watches {callback.monitor}, but the split has no validation part; leave it out"
                raise ConfigError(msg)
        log.warning("the split has no validation part: no best checkpoint is chosen, test=last is used")
        if "checkpoints" in callbacks:
            callbacks["checkpoints"].monitor = None
        cfg = {**cfg, "trainer": {**cfg["trainer"], "limit_val_batches": 0}}
    loggers = build.loggers(cfg, folder)
    trainer = build.trainer(cfg, folder, callbacks=list(callbacks.values()), loggers=loggers)
    require_enough(module, trainer.world_size, "train", "val", *(cfg["test_parts"] if cfg["test"] != "none" else ()))
    if trainer.world_size > 1:
        say_processes(cfg, task, module, trainer.world_size)
    try:
        for logger in loggers:
            logger.log_hyperparams(_for_loggers(cfg))
        steps = planned_steps(cfg, module, trainer.world_size)
        if resumed is None and (said := slow_statistics(task.model, steps)):
            log.warning("%s", said)
        log.info("training %s on %s", cfg["name"], ", ".join(data.facts["sources"]))
        trainer.fit(task, datamodule=module, ckpt_path=str(resumed.path) if resumed else None, weights_only=True)
        if choice is not None or limits is not None or cfg["test"] != "none":
            distributed.wait_for_all()
            path = _tested(cfg, folder)
            chosen = checkpoint.load(path)
            checkpoint.load_weights(task, chosen)
            thresholds = None
            if choice is not None:
                cfg = keep_choice(cfg, folder, path, choice.choose(trainer, task))
            if limits is not None:
                thresholds = keep_thresholds(folder, path, limits.choose(trainer, task))
            if cfg["test"] != "none":
                _test(cfg, folder, task, module, trainer, callbacks, chosen, thresholds)
    finally:
        close(loggers)


def say_processes(cfg: dict[str, Any], task: Any, module: Any, n: int) -> None:
    """Log what n processes make of a batch, and warn of what is then not as in one process."""
    log.info("%d processes with batches of %d: %d images a step", n, module.batch_size, n * module.batch_size)
    pooled = any(getattr(part, "per_image", True) is False for part in task.loss.modules())
    apart = sum(type(layer).__name__.startswith("BatchNorm") for layer in task.model.modules())
    if apart and not cfg["trainer"].get("sync_batchnorm"):
        log.warning(
            "%d batch norms take their statistics from the %d images of one process, so results differ from those of "
            "one process with %d. On GPUs trainer.sync_batchnorm=true joins them",
            apart, module.batch_size, n * module.batch_size,
        )  # fmt: skip
    if pooled:
        log.warning(
            "the loss pools the %d images of one process, so results differ from those of one process with %d",
            module.batch_size, n * module.batch_size,
        )  # fmt: skip


def planned_steps(cfg: dict[str, Any], module: Any, processes: int = 1) -> int:
    """Return the optimiser steps of a whole training."""
    batches: int = math.ceil(len(module.positions("train")) / (module.batch_size * processes))
    return batches * int(cfg["trainer"].get("max_epochs", 1)) // int(cfg["trainer"].get("accumulate_grad_batches", 1))


def _tested(cfg: dict[str, Any], folder: Path) -> Path:
    """Return the checkpoint that is tested, or would be: the best where there is one, unless the last is asked for."""
    path = folder / "checkpoints" / ("last.ckpt" if cfg["test"] == "last" else "best.ckpt")
    return path if path.exists() else folder / "checkpoints" / "last.ckpt"


def keep_choice(cfg: dict[str, Any], folder: Path, path: Path, choice: Choice) -> dict[str, Any]:
    """Write the postprocessing chosen on the validation part into a checkpoint and postprocess.json.

    Returns:
        The config with the steps that stay, and the threshold found.
    """
    nodes = cfg["postprocess"]["steps"]
    steps = {name: dict(nodes[name]) for name in choice.steps}
    if choice.threshold is not None:
        steps[choice.steps[0]]["value"] = choice.threshold
    cfg = {**cfg, "postprocess": {**cfg["postprocess"], "steps": steps}}
    if not is_first_process():
        return cfg
    said = {"steps": steps, "dice": choice.dice, "n": choice.n, "part": "val", "candidates": choice.candidates}
    write_json(folder / "postprocess.json", said)
    content = checkpoint.load(path).content
    content["lungseg"]["config"]["postprocess"] = _plain(cfg["postprocess"])
    content["lungseg"]["threshold"] = build.postprocess(cfg).threshold
    _save_again(path, content)
    log.info(
        "chosen on %d validation images: %s%s, mean Dice %.4f",
        choice.n,
        ", ".join(choice.steps),
        "" if choice.threshold is None else f" with threshold {choice.threshold:g}",
        choice.dice,
    )
    return cfg


def keep_thresholds(folder: Path, path: Path, found: Mapping[str, LabelThreshold]) -> dict[str, float]:
    """Write the thresholds chosen on the validation part into a checkpoint and thresholds.json.

    Returns:
        The threshold of each label.
    """
    thresholds = {name: each.threshold for name, each in found.items()}
    if not is_first_process():
        return thresholds
    write_json(folder / "thresholds.json", {"part": "val", "labels": {name: asdict(of) for name, of in found.items()}})
    content = checkpoint.load(path).content
    content["lungseg"]["thresholds"] = thresholds
    _save_again(path, content)
    left = [name for name, each in found.items() if not each.chosen]
    log.info("thresholds chosen on the validation part: %s", ", ".join(f"{n} {v:.3g}" for n, v in thresholds.items()))
    if left:
        log.warning("the validation part has no example of both kinds of %s: its threshold stays", ", ".join(left))
    return thresholds


def _save_again(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint whose record has changed in place of itself."""
    waiting = path.with_name(f".{path.name}.part")
    with writing(path):
        CheckpointFile().save_checkpoint(content, waiting)
        waiting.replace(path)


def _test(
    cfg: dict[str, Any],
    folder: Path,
    task: Any,
    module: Any,
    trainer: Any,
    callbacks: dict[str, Any],
    chosen: checkpoint.Checkpoint,
    thresholds: Mapping[str, float] | None,
) -> None:
    """Test the weights of a checkpoint, which the task holds, on the parts named in the config."""
    path = chosen.path
    which = path.stem
    best = getattr(callbacks.get("checkpoints"), "best_epoch", None)
    facts = {
        "checkpoint": {
            "file": f"checkpoints/{path.name}",
            "which": which,
            "epoch": best if which == "best" and best else trainer.current_epoch,
            "step": chosen.step,
        },
        "trained_on": list(cfg["data"]["sources"]),
        "trained_convention": task.record["convention"],
        "trained_run": str(folder),
    }
    tester = build.tester(cfg, facts=facts, thresholds=thresholds)
    trainer.callbacks.insert(0, tester)
    trainer.test(task, datamodule=module, verbose=False)
    log_headline(tester)


def _state(cfg: dict[str, Any], folder: Path) -> checkpoint.Checkpoint | None:
    """Return what there is to resume from; a run killed before its first checkpoint starts afresh.

    It is read before anything is written, so that a run that cannot be resumed stays as it is.

    Raises:
        CheckpointError: the checkpoint is damaged, or of a run with other settings.
    """
    if not cfg.get("resume"):
        return None
    path = folder / "checkpoints" / "last.ckpt"
    if not path.exists():
        log.warning("%s holds no last.ckpt yet; the run starts from the beginning", folder)
        return None
    resumed = checkpoint.load(path)
    now = {
        "config": _plain(cfg),
        "structures": list(cfg["data"]["structures"]),
        "classes": build.classes_of(cfg) or None,
    }
    refuse_other_run(resumed, now, [key for key in FIXED if key not in ("normalize", "split_hash")])
    return resumed


def record(cfg: dict[str, Any], data: build.Data) -> dict[str, Any]:
    """Return what a checkpoint says about itself: plain values only."""
    module = data.module
    of_classes: dict[str, Any] = {}
    if module.classes:
        thresholds = dict.fromkeys(module.classes, 0.5) if build.kind_of(cfg) == "multilabel" else {}
        of_classes = {
            "kind": build.kind_of(cfg),
            "classes": list(module.classes),
            "class_counts": module.class_counts(),
            "thresholds": thresholds,
        }
    config = {key: value for key, value in cfg.items() if key not in ("verb", "run_dir", "overrides", "resume")}
    return {
        "format": checkpoint.RECORD_FORMAT,
        "lungseg": __version__,
        "name": cfg["name"],
        "config": _plain(config),
        "structures": list(cfg["data"]["structures"]),
        "normalize": dict(data.facts["normalize"]),
        "size": list(module.store.size),
        "threshold": None if of_classes else build.postprocess(cfg).threshold,
        **of_classes,
        "trained_on": list(data.facts["sources"]),
        "convention": dict(data.facts["convention"]),
        "split_hash": data.facts["split"]["hash"],
        "torch": str(torch.__version__),
    }


def refuse_other_run(resumed: checkpoint.Checkpoint, now: dict[str, Any], keys: Sequence[str] = FIXED) -> None:
    """Refuse to go on with other values of some keys than the run began with.

    Raises:
        CheckpointError: names the keys that differ.
    """
    before = resumed.record
    different = [
        f"{name}: {old} before, {new} now"
        for key in keys
        for name, old, new in differences(_at(before, key), _at(now, key), key)
    ]
    if different:
        msg = (
            f"the run in {resumed.path.parents[1]} cannot be resumed, as it is another one now. {'; '.join(different)}"
            ". Undo these changes, or start a new run without resume="
        )
        raise CheckpointError(msg)


def _at(record: dict[str, Any], key: str) -> Any:
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _for_loggers(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return the config without paths, which may name people."""
    left_out = ("paths", "run_dir", "overrides", "resume", "root", "search")
    return {
        key: _for_loggers(value) if isinstance(value, dict) else value
        for key, value in cfg.items()
        if key not in left_out
    }


def warn_of_conventions(conventions: Mapping[str, str | None]) -> None:
    """Warn when sets whose lung masks mean different things are trained on together."""
    known = {name: convention for name, convention in conventions.items() if convention is not None}
    if len(set(known.values())) > 1:
        log.warning(
            "the lung masks of these sets follow different conventions (%s): the network is taught both, and scores on "
            "either suffer. Train on sets of one convention, or read the report's tables set by set",
            ", ".join(f"{name} {convention.replace('_', ' ')}" for name, convention in known.items()),
        )


def close(loggers: list[Any]) -> None:
    """Close the loggers, whatever happened: an open W&B run would swallow the next run of a sweep."""
    for logger in loggers:
        logger.finalize("success")
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()
