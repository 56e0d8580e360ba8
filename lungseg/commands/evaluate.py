"""Test a checkpoint, on its own test part or on other data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lungseg import build, checkpoint
from lungseg.callbacks.feature_map import FeatureMap
from lungseg.callbacks.overlays import Overlays
from lungseg.callbacks.worst_cases import WorstCases
from lungseg.commands.machine import cores, store_progress
from lungseg.commands.tested import describe, log_headline, require_enough, write_data
from lungseg.data.preprocess.lungs import DISK
from lungseg.errors import CheckpointError, ConfigError
from lungseg.predictor import pick_device
from lungseg.remote import settings
from lungseg.run_folder import is_first_process, recording, write_json

log = logging.getLogger(__name__)

ALL_TEST = {"_target_": "lungseg.data.splits.all_test.AllTestSplit"}
LUNGS = "lungs"
"""Name of the preprocessing step that `lungs=<part>` sets."""
AS_TRAINED = "trained"
"""Value of `lung_masks`: those that the checkpoint was trained with, or else the published ones."""
THRESHOLD = "lungseg.postprocess.threshold.Threshold"
PARTLY = ("limit_test_batches", "overfit_batches", "fast_dev_run")
"""Keys of the trainer with which a run tries things out on a part of the data; a result is of all of it."""


def run(cfg: dict[str, Any]) -> int:
    """Run the verb; returns 0, every failure is raised."""
    settings.use(cfg["paths"])
    loaded = checkpoint.load(cfg["checkpoint"])
    merged = on_part(with_checkpoint(cfg, loaded), cfg)
    with recording(merged) as folder:
        evaluate(merged, loaded, folder)
    if cfg["report"] and is_first_process():
        from lungseg.report.html import write_report

        log.info("report: %s", write_report([folder], folder))
    return 0


def with_checkpoint(cfg: dict[str, Any], loaded: checkpoint.Checkpoint) -> dict[str, Any]:
    """Return the checkpoint's config with what the command line asked to change."""
    trained = loaded.record["config"]
    merged: dict[str, Any] = {
        **trained,
        **{k: cfg[k] for k in ("verb", "run_dir", "overrides", "paths", "n_boot", "report")},
    }
    merged["checkpoint"] = str(loaded.path)
    merged["test_parts"] = list(cfg["parts"])
    merged["allow_leakage"] = cfg["allow_leakage"]
    if cfg.get("data"):
        classes = loaded.record.get("classes", [])
        refuse_other_classes(loaded, cfg["data"].get("classes") or classes)
        kept = {"structures": trained["data"]["structures"], **({"classes": classes} if classes else {})}
        merged["data"] = {**cfg["data"], **kept}
        merged["split"] = cfg.get("split") or ALL_TEST
        merged["balance"] = None  # it is for training parts, and this set has none
    else:
        nodes = trained["data"]["sources"]
        sources = {
            name: {**node, **({"search": cfg["paths"]["data"]} if "search" in node else {})}
            for name, node in nodes.items()
        }
        merged["data"] = {**trained["data"], "sources": sources}
        merged["split"] = cfg.get("split") or trained["split"]
    changes = {"batch_size": cfg.get("batch_size"), "num_workers": cfg.get("num_workers")}
    merged["data"] = {**merged["data"], **{k: v for k, v in changes.items() if v is not None}}
    if build.kind_of(merged) is not None:
        merged["threshold"] = cfg.get("threshold")
    elif cfg.get("threshold") is not None:
        first = next(iter(merged["postprocess"]["steps"]))
        chain = merged["postprocess"]["steps"]
        merged["postprocess"] = {"steps": {**chain, first: {"_target_": THRESHOLD, "value": cfg["threshold"]}}}
    steady = {key: value for key, value in trained["trainer"].items() if key not in PARTLY}
    merged["trainer"] = {**steady, **_where(cfg["device"], int(cfg.get("devices") or 1))}
    return merged


def on_part(merged: dict[str, Any], cfg: dict[str, Any]) -> dict[str, Any]:
    """Return the config with the part of the picture that is to be tested, and where its lung masks come from.

    Args:
        merged: a checkpoint's config, as `with_checkpoint` gives it.
        cfg: of the verb; `lungs=<part>` has put its step into `preprocess`, where nothing stands without it.

    Raises:
        ConfigError: lung masks are named, no part is, and the checkpoint was trained on whole pictures.
    """
    chain, place = dict(merged["preprocess"]["steps"]), cfg["lung_masks"]
    trained = chain.get(LUNGS)
    known = place != AS_TRAINED
    if cfg.get("preprocess") is not None:
        chain.pop(LUNGS, None)
        step = (cfg["preprocess"].get("steps") or {}).get(LUNGS)
        if step is not None:
            chain = {LUNGS: {**step, "masks": place if known else (trained or {}).get("masks", DISK)}, **chain}
    elif known and trained:
        chain[LUNGS] = {**trained, "masks": place}
    elif known:
        msg = (
            f"lung_masks={place}, but the whole picture is tested, as in training, which needs none. Choose a part of "
            "it, such as lungs=border_only, or leave lung_masks out"
        )
        raise ConfigError(msg)
    return {**merged, "preprocess": {**merged["preprocess"], "steps": chain}}


def refuse_other_classes(loaded: checkpoint.Checkpoint, classes: Sequence[str]) -> None:
    """Refuse to test on other classes than a checkpoint tells apart, or on the same ones in another order.

    Raises:
        CheckpointError: says how they differ.
    """
    own = list(loaded.record.get("classes", []))
    if not own or list(classes) == own:
        return
    mine, asked = f"[{','.join(own)}]", f"[{','.join(classes)}]"
    if sorted(own) == sorted(classes):
        msg = (
            f"{loaded.path} tells {mine} apart in this order, and data.classes={asked} has another: its outputs would "
            f"be taken for other classes. Give data.classes={mine}"
        )
    else:
        msg = (
            f"{loaded.path} tells {mine} apart, and the set has data.classes={asked}. If the set's labels have these "
            f"names too, give data.classes={mine}"
        )
    raise CheckpointError(msg)


def thresholds_of(cfg: dict[str, Any], loaded: checkpoint.Checkpoint) -> dict[str, float] | None:
    """Return the thresholds of labels: the checkpoint's own, or one for all where it was asked for.

    Raises:
        ConfigError: one is asked for where the most probable class is taken.
    """
    kind, asked = build.kind_of(cfg), cfg.get("threshold")
    if kind is None:
        return None
    if asked is None:
        return dict(loaded.record.get("thresholds") or {})
    if kind == "multiclass":
        msg = f"threshold={asked}, but {loaded.path} takes the most probable of several classes; leave it out"
        raise ConfigError(msg)
    return dict.fromkeys(loaded.record["classes"], float(asked))


def _where(device: str, count: int) -> dict[str, Any]:
    """Return the trainer's keys for a device name and a number of devices.

    Raises:
        ConfigError: several devices are asked for, and one of them by its number.
    """
    chosen = pick_device(device)
    if count > 1 and chosen.index is not None:
        msg = f"device={device} names one device, and devices={count} asks for several; set device=cuda"
        raise ConfigError(msg)
    gpu = chosen.type == "cuda"
    devices = [chosen.index or 0] if gpu and count == 1 else count
    # statistics of batch norms are joined in training only, and an evaluation runs on one machine
    return {
        "accelerator": "gpu" if gpu else "cpu", "devices": devices, "strategy": "ddp" if count > 1 else "auto",
        "sync_batchnorm": False, "num_nodes": 1,
    }  # fmt: skip


def evaluate(cfg: dict[str, Any], loaded: checkpoint.Checkpoint, folder: Path) -> None:
    """Test into a run folder."""
    thresholds = thresholds_of(cfg, loaded)
    data = build.data(
        cfg,
        folder,
        test_parts=tuple(cfg["test_parts"]),
        normalize=loaded.record["normalize"],
        progress=store_progress(),
        jobs=cores(),
    )
    module = data.module
    module.require(*cfg["test_parts"])
    if cfg["task"].get("activation") == "softmax":
        module.require_disjoint(*cfg["test_parts"])
    if module.classes:
        module.require_tested_classes(*cfg["test_parts"])
    refuse_seen(cfg, loaded, data)
    if is_first_process():
        write_data(folder, module, data.facts)
    task = build.task(cfg, counts=loaded.record.get("class_counts"))
    checkpoint.load_weights(task, loaded)
    if is_first_process():
        write_json(folder / "model.json", describe(task.model, module.store.size))
    home = loaded.path.parents[1]
    facts = {
        "checkpoint": {
            "file": str(loaded.path),
            "which": loaded.path.stem,
            "epoch": loaded.epoch,
            "step": loaded.step,
        },
        "trained_on": loaded.record["trained_on"],
        "trained_convention": loaded.record.get("convention", {}),
        "trained_run": str(home) if (home / "status.json").exists() else None,
    }
    tester = build.tester(cfg, facts=facts, thresholds=thresholds)
    trainer = build.trainer(cfg, folder, callbacks=[tester, Overlays(), WorstCases(), FeatureMap()], loggers=[])
    require_enough(module, trainer.world_size, *cfg["test_parts"])
    trainer.test(task, datamodule=module, verbose=False)
    log_headline(tester)


def refuse_seen(cfg: dict[str, Any], loaded: checkpoint.Checkpoint, data: build.Data) -> None:
    """Refuse a test on data that may hold training images.

    On the sources it was trained on, a checkpoint is tested with the split it was trained with, found again by its
    hash; any other split could put training patients into the test part. Sources that are known to hold the same
    patients under other names count as the same.

    Raises:
        CheckpointError: the split is another one, or the sources share patients.
    """
    trained = set(loaded.record["trained_on"])
    if cfg["allow_leakage"]:
        return
    for name, (source, _) in data.module.sources.items():
        same = sorted(trained.intersection(source.shares_patients_with))
        if same and name not in trained:
            msg = (
                f"{loaded.path} was trained on {', '.join(same)}, which holds the patients of {name}, so this would be "
                "no test. Choose another set with data=, or set allow_leakage=true and say so"
            )
            raise CheckpointError(msg)
    shared = sorted(trained & set(data.facts["sources"]))
    if not shared or data.facts["split"]["hash"] == loaded.record["split_hash"]:
        return
    msg = (
        f"{loaded.path} was trained on {', '.join(shared)} with another split than the one made now, so the test part "
        "may hold images it was trained on. Leave data= and split= out to test with the checkpoint's own split, check "
        f"that the files below {cfg['paths']['data']} are the same, or set allow_leakage=true and say so"
    )
    raise CheckpointError(msg)
