"""Fabricated run folders: realistic figures, overlays of simple shapes, and no network was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from lungseg.metrics.classification_summary import summarise_classes
from lungseg.stats.bootstrap import Interval, mean_interval, pooled_interval
from lungseg.stats.case_loss import case_losses

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Function that writes a run folder below tmp_path and returns it."""

    def make(folder: str = "run", **settings: Any) -> Path:
        return write_run(tmp_path / folder, **settings)

    return make


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder to copy and damage; not to be written to."""
    folder = tmp_path_factory.mktemp("small") / "run"
    return write_run(folder, sets={"test": {"jsrt": 6}}, epochs=3, n_boot=20, pictures=1)


def write_run(
    folder: Path,
    *,
    name: str = "resunet_jsrt",
    verb: str = "train",
    state: str = "done",
    error: str | None = None,
    dice: float = 0.971,
    sets: dict[str, dict[str, int]] | None = None,
    structures: tuple[str, ...] = ("lungs",),
    trained_on: tuple[str, ...] = ("jsrt",),
    trained_run: str | None = None,
    epochs: int = 20,
    seed: int = 0,
    fold: int | None = None,
    lr: float = 1e-3,
    paper: dict[str, Any] | None = None,
    parameters: int = 13_040_705,
    n_boot: int = 200,
    overlays: bool = True,
    pictures: int = 3,
    config: dict[str, Any] | None = None,
    overrides: tuple[str, ...] = (),
    model: dict[str, Any] | None = None,
    counts: dict[str, int] | None = None,
    convention: Any = "",
    trained_convention: Any = None,
    metrics: dict[str, float] | None = None,
) -> Path:
    """Write a run folder.

    Args:
        folder: to be made.
        sets: {part: {source: n}}, by default 51 test images of JSRT.
        config, model: further keys of config.yaml and model.json.
        overrides: further lines of overrides.yaml.
        counts: images of each part of the split.
        convention, trained_convention: of data.json and metrics.json.
        metrics: further metrics of all parts, by their mean; the interval is 0.01 to either side.
    """
    sets = {"test": {"jsrt": 51}} if sets is None else sets
    folder.mkdir(parents=True)
    generator = np.random.default_rng([seed, fold or 0, *name.encode(), *folder.name.encode()])
    samples = pd.concat(
        [
            _samples(part, source, n, structures, dice, generator, fold)
            for part, sources in sets.items()
            for source, n in sources.items()
        ],
        ignore_index=True,
    )
    done = state == "done"
    base = {
        "name": name,
        "seed": seed,
        "data": {"sources": {source: {} for source in trained_on}, "structures": list(structures), "batch_size": 4},
        "split": {"strategy": "kfold", "fold": fold} if fold is not None else {"strategy": "published"},
        "model": {"_target_": "lungseg.models.resunet.ResUNet", "in_channels": 1},
        "loss": {"_target_": "lungseg.losses.bce.BCELoss"},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": lr},
        "scheduler": {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 5},
        "trainer": {"max_epochs": epochs, "precision": "32-true"},
        "paths": {"outputs": str(folder.parent)},
        "paper": {"key": "resunet", "row": None, "reported": {}, "note": None} if paper is None else paper,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({**base, **(config or {})}, sort_keys=False))
    (folder / "overrides.yaml").write_text(yaml.safe_dump([f"experiment={name}", f"seed={seed}", *overrides]))
    _json(
        folder / "status.json",
        {
            "verb": verb, "state": state, "exit_code": 0 if done else 5, "error": error,
            "started": "2026-11-20T11:02:11+01:00", "ended": "2026-11-20T11:19:43+01:00",
            "seconds": 1052.4, "resumed": [],
        },
    )  # fmt: skip
    _json(
        folder / "env.json",
        {
            "lungseg": "0.1.0", "commit": "6589a0c2f1d47b0a9d3c", "dirty": False, "python": "3.11.2",
            "platform": "Linux-6.1-x86_64", "packages": {"torch": "2.15.0", "lightning": "2.6.6", "numpy": "2.4.6"},
            "hardware": {"cpu": "AMD EPYC 9V74", "cores": 2, "ram_gib": 15.6, "gpu": []},
        },
    )  # fmt: skip
    _json(
        folder / "data.json",
        {
            "sources": {
                source: {"n": 246, "n_subjects": 246, "root": "data/jsrt", "aside": 0, "dropped": 0, "notes": []}
                for source in trained_on
            },
            "split": {
                "strategy": "published", "seed": seed, "hash": "9f2c1ab04d" * 6 + "77e1", "by": "subject",
                "counts": {"train": 174, "val": 21, "test": 51} if counts is None else counts,
            },
            "preprocess": "resize 256x256 (area)", "structures": list(structures), "convention": convention,
        },
    )  # fmt: skip
    if verb == "train":
        size = {"class": "ResUNet", "parameters": parameters, "trainable": parameters, "in_channels": 1}
        _json(folder / "model.json", {**size, **(model or {})})
        _epochs(epochs if done else max(1, epochs // 3), dice, lr, generator).to_csv(folder / "epochs.csv", index=False)
        split = samples[["sample_id", "subject_id", "source", "part"]].drop_duplicates()
        split.to_parquet(folder / "split.parquet")
    if not done:
        return folder
    samples.to_parquet(folder / "per_sample.parquet")
    _json(
        folder / "metrics.json",
        {
            "checkpoint": {"file": "checkpoints/best.ckpt", "which": "best", "epoch": 17, "step": 748},
            "grid": "published", "threshold": 0.5, "trained_on": list(trained_on), "trained_run": trained_run,
            "parts": _parts(samples, n_boot, metrics or {}), "seconds": 12.3, "n_boot": n_boot, "bootstrap_seed": 0,
            **({} if trained_convention is None else {"trained_convention": trained_convention}),
        },
    )  # fmt: skip
    if overlays:
        _overlays(folder, samples, pictures, generator)
    return folder


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


def _samples(
    part: str,
    source: str,
    n: int,
    structures: tuple[str, ...],
    dice: float,
    generator: np.random.Generator,
    fold: int | None,
) -> pd.DataFrame:
    rows = []
    first = 1000 * (fold or 0)
    for i in range(n):
        patient = {
            "part": part, "source": source, "sample_id": f"{source}/IMG{first + i:04d}",
            "subject_id": f"{source}/P{first + i:04d}", "height": 1024, "width": 1024,
            "sex": [None, "F", "M"][generator.integers(1, 3) if i else 0],
            "age": float(generator.integers(16, 88)) if i > 2 else np.nan, "view": "PA",
        }  # fmt: skip
        for structure in structures:
            value = 1 - generator.gamma(4, (1 - dice) / 4)
            area = int(1024 * 1024 * generator.uniform(0.2, 0.32))
            wrong = (1 - value) * area  # dice = 2tp / (2tp + fp + fn) with tp + fn = area and fp = fn
            fp = int(max(0, wrong))
            tp = area - fp
            fn = fp
            tn = 1024 * 1024 - tp - fp - fn
            rows.append(
                {
                    **patient, "structure": structure, "tp": tp, "fp": fp, "fn": fn, "tn": tn,
                    "dice": 2 * tp / (2 * tp + fp + fn), "iou": tp / (tp + fp + fn),
                    "accuracy": (tp + tn) / 1024**2, "precision": tp / (tp + fp), "recall": tp / (tp + fn),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _parts(samples: pd.DataFrame, n_boot: int, more: dict[str, float]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, of_part in samples.groupby("part", sort=False):
        groups = {"all": of_part, **{str(source): rows for source, rows in of_part.groupby("source")}}
        found[str(part)] = {
            source: {str(name): _entry(rows, n_boot, more) for name, rows in group.groupby("structure", sort=False)}
            for source, group in groups.items()
        }
    return found


def _entry(rows: pd.DataFrame, n_boot: int, more: dict[str, float]) -> dict[str, Any]:
    subjects = rows["subject_id"].to_list()
    metrics = {
        name: _plain(mean_interval(rows[name], subjects, n_boot=n_boot))
        for name in ("dice", "iou", "accuracy", "precision", "recall")
    }
    both = 2 * rows["tp"] + rows["fp"] + rows["fn"]
    metrics["dice_pooled"] = _plain(pooled_interval(2 * rows["tp"], both, subjects, n_boot=n_boot))
    metrics["iou_pooled"] = _plain(pooled_interval(rows["tp"], both - rows["tp"], subjects, n_boot=n_boot))
    n = len(rows)
    metrics |= {name: _plain(Interval(mean, 0.02, mean - 0.01, mean + 0.01, n, n)) for name, mean in more.items()}
    return {"n": n, "n_subjects": n, "n_empty": 0, "n_missed": 0, "n_false": 0, "metrics": metrics}


def _plain(found: Interval) -> dict[str, Any]:
    values = {"mean": found.mean, "sd": found.sd, "low": found.low, "high": found.high}
    return {**{key: None if value != value else value for key, value in values.items()}, "n": found.n}


def _epochs(n: int, dice: float, lr: float, generator: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, n + 1)
    rise = 1 - np.exp(-epoch / 2.2)
    noise = generator.normal(0, 0.003, n)
    train = dice - 0.12 * (1 - rise) - 0.002
    val = dice - 0.09 * (1 - rise) + noise * (1 - rise + 0.3)
    table: dict[str, Any] = {
        "epoch": epoch, "step": 44 * epoch, "lr": lr * 0.1 ** ((epoch - 1) // 5), "seconds": generator.normal(50, 1, n),
    }  # fmt: skip
    for part, values in (("train", train), ("val", val)):
        table[f"{part}/loss"] = 0.045 + 1.1 * (dice - values)
        table[f"{part}/accuracy"] = 1 - (1 - values) / 2
        table[f"{part}/dice"] = values
        table[f"{part}/iou"] = values / (2 - values)
        table[f"{part}/precision"] = values + 0.001
        table[f"{part}/recall"] = values - 0.001
    return pd.DataFrame(table)


def _overlays(folder: Path, samples: pd.DataFrame, pictures: int, generator: np.random.Generator) -> None:
    (folder / "overlays").mkdir()
    entries = []
    for part, rows in samples.groupby("part", sort=False):
        ordered = rows.drop_duplicates("sample_id").sort_values("dice").reset_index(drop=True)
        middle = max(0, (len(ordered) - pictures) // 2)
        ranks = {
            "worst": ordered.head(pictures),
            "median": ordered.iloc[middle : middle + pictures],
            "best": ordered.iloc[::-1].head(pictures),
        }
        for rank, chosen in ranks.items():
            for place, row in enumerate(chosen.to_dict("records"), 1):
                file = f"overlays/{part}_{rank}_{place}.png"
                cv2.imwrite(str(folder / file), _radiograph(1 - float(row["dice"]), generator))
                entries.append(
                    {
                        "file": file, "part": part, "rank": rank, "place": place, "sample_id": row["sample_id"],
                        "source": row["source"], "dice": row["dice"],
                    }
                )  # fmt: skip
    _json(folder / "overlays" / "index.json", entries)


def _radiograph(wrong: float, generator: np.random.Generator, size: int = 256) -> np.ndarray[Any, Any]:
    """Draw a grey chest of ellipses with two contours of each lung, further apart the more is wrong."""
    y, x = np.mgrid[0:size, 0:size] / size
    body = 150 - 60 * np.abs(x - 0.5) + 40 * y
    drawn = np.asarray(body + generator.normal(0, 3, (size, size)), dtype=np.float32)
    shift = int(6 + 300 * wrong)
    for centre in (0.31, 0.69):
        spot, axes = (int(centre * size), int(0.5 * size)), (int(0.145 * size), int(0.34 * size))
        lung = cv2.ellipse(np.zeros((size, size), np.float32), spot, axes, 0, 0, 360, 1, -1)
        drawn -= 95 * cv2.GaussianBlur(lung, (0, 0), 4)
        for rib in range(6):
            at = (spot[0], int((0.25 + 0.1 * rib) * size))
            cv2.ellipse(drawn, at, (axes[0] + 8, 18), 0, 200, 340, float(body.mean() - 70), 3, cv2.LINE_AA)
    picture = cv2.cvtColor(np.clip(drawn, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for centre in (0.31, 0.69):
        spot, axes = (int(centre * size), int(0.5 * size)), (int(0.145 * size), int(0.34 * size))
        cv2.ellipse(picture, spot, axes, 0, 0, 360, (60, 200, 60), 1, cv2.LINE_AA)
        moved = (spot[0] + shift // 4, spot[1] - shift // 3)
        cv2.ellipse(picture, moved, (axes[0] + shift // 5, axes[1]), 0, 0, 360, (200, 60, 230), 1, cv2.LINE_AA)
    return picture


@pytest.fixture
def make_class_run(tmp_path: Path) -> MakeRun:
    """Function that writes the folder of a classification run below tmp_path and returns it."""

    def make(folder: str = "run", **settings: Any) -> Path:
        return write_class_run(tmp_path / folder, **settings)

    return make


@pytest.fixture(scope="session")
def class_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classification run to copy and damage; not to be written to."""
    return write_class_run(tmp_path_factory.mktemp("classes") / "run", n=30, n_boot=10, epochs=3, pictures=True)


def write_class_run(
    folder: Path,
    *,
    name: str = "mobilenet_v3_large_kermany",
    kind: str = "multiclass",
    classes: tuple[str, ...] = ("normal", "bacterial", "viral"),
    n: int = 90,
    skill: float = 1.5,
    verb: str = "train",
    state: str = "done",
    source: str = "kermany",
    seed: int = 0,
    lr: float = 0.01,
    epochs: int = 12,
    paper: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    parts: tuple[str, ...] = ("val", "test"),
    embedding: bool = True,
    n_boot: int = 60,
    thresholds: dict[str, float] | None = None,
    metrics: dict[str, tuple[float, float, float]] | None = None,
    known: float = 1.0,
    pictures: bool = False,
    draw: int | None = None,
) -> Path:
    """Write the folder of a classification run.

    Args:
        folder: to be made.
        skill: how far the logit of the true class lies above the others; 0 = by chance.
        n: images in each part.
        known: share of known labels (multilabel).
        metrics: overall metrics of the test part instead of those of the images: mean, low, high.
        config: further keys of config.yaml.
        pictures: whether there are some of training images and of the highest losses.
        draw: of the probabilities, for other ones of the same images.
    """
    folder.mkdir(parents=True)
    generator = np.random.default_rng([seed, n, *name.encode()])
    model = {"_target_": "lungseg.models.classifiers.MobileNetV3Large", "weights": None, "num_classes": len(classes)}
    base = {
        "name": name, "seed": seed, "model": model,
        "task": {"_target_": "lungseg.tasks.classification.ClassificationTask", "kind": kind},
        "data": {"sources": {source: {}}, "structures": [], "classes": list(classes), "batch_size": 32},
        "split": {"strategy": "holdout"}, "loss": {"_target_": "lungseg.losses.cross_entropy.CrossEntropyLoss"},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": lr}, "trainer": {"max_epochs": epochs},
        "scheduler": {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "eta_min": min(lr, 0.001)},
        "paper": paper or {},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump({**base, **(config or {})}, sort_keys=False))
    (folder / "overrides.yaml").write_text(yaml.safe_dump([f"experiment={name}"]))
    _json(folder / "status.json", {"verb": verb, "state": state, "exit_code": 0, "seconds": 310.0, "resumed": []})
    _json(folder / "env.json", {"lungseg": "0.1.0", "hardware": {"cpu": "AMD EPYC 9V74", "gpu": []}})
    counts = {"train": 4000, **dict.fromkeys(parts, n)}
    if verb == "train":
        _json(
            folder / "data.json",
            {"sources": {source: {"n": 5856, "n_subjects": 3400}}, "split": {"strategy": "holdout", "counts": counts}},
        )
        size = {"class": "MobileNetV3Large", "parameters": 4205875, "trainable": 4205875, "in_channels": 1}
        _json(folder / "model.json", {**size, "macs": 57_000_000, "input_size": [128, 128]})
        _class_epochs(epochs, classes, lr, generator).to_csv(folder / "epochs.csv", index=False)
    samples = pd.concat([_class_samples(p, n, kind, classes, skill, source, known, generator) for p in parts])
    if verb == "train":
        samples[["sample_id", "subject_id", "source", "part"]].to_parquet(folder / "split.parquet")
    if state != "done":
        return folder
    if draw is not None:
        samples = _drawn_again(samples, kind, classes, skill, np.random.default_rng(draw))
    samples.to_parquet(folder / "per_sample.parquet", index=False)
    if pictures:
        _class_pictures(folder, samples, classes, kind)
    limits = thresholds or (dict.fromkeys(classes, 0.5) if kind == "multilabel" else {})
    found = summarise_classes(samples, kind=kind, classes=classes, thresholds=limits, n_boot=n_boot)  # type: ignore[arg-type]
    for metric, (mean, low, high) in (metrics or {}).items():
        found["test"]["all"]["metrics"][metric] = {"mean": mean, "low": low, "high": high, "n": n}
    _json(
        folder / "metrics.json",
        {
            "kind": kind, "classes": list(classes), "thresholds": limits, "parts": found, "n_boot": n_boot,
            "bootstrap_seed": 0, "trained_on": [source], "trained_run": None,
            "checkpoint": {"file": "checkpoints/best.ckpt", "which": "best", "epoch": 9},
        },
    )  # fmt: skip
    if embedding:
        rows = samples[samples["part"] == samples["part"].iloc[-1]]
        centre = rows["label"].map({label: i for i, label in enumerate(sorted(rows["label"].unique()))}).to_numpy()
        spot = generator.normal(0, 4, (len(rows), 2)) + 3 * skill * np.stack(
            (np.cos(2 * centre), np.sin(2 * centre)), 1
        )
        table = rows[["sample_id", "part", "label"]].assign(x=spot[:, 0], y=spot[:, 1])
        table.to_parquet(folder / "embedding.parquet", index=False)
    return folder


def _class_samples(
    part: str, n: int, kind: str, classes: tuple[str, ...], skill: float, source: str, known: float, generator: Any
) -> pd.DataFrame:
    c = len(classes)
    if kind == "multiclass":
        labels = generator.choice(c, n, p=np.arange(c, 0, -1) / (c * (c + 1) / 2))
        truth = np.eye(c)[labels]
        logits = generator.normal(0, 1, (n, c)) + skill * truth
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        names = [classes[label] for label in labels]
        predicted = [classes[place] for place in p.argmax(axis=1)]
    else:
        truth = (generator.random((n, c)) < np.linspace(0.15, 0.4, c)).astype(float)
        p = 1 / (1 + np.exp(-(generator.normal(-0.8, 1, (n, c)) + skill * truth)))
        truth[generator.random((n, c)) >= known] = np.nan
        names = ["|".join(np.array(classes)[row == 1]) for row in truth]
        predicted = ["|".join(np.array(classes)[row >= 0.5]) for row in p]
    table: dict[str, Any] = {
        "part": part, "source": source, "sample_id": [f"{source}/{part}{i:04d}" for i in range(n)],
        "subject_id": [f"{source}/{part}P{i // 2:04d}" for i in range(n)], "label": names,
    }  # fmt: skip
    table |= {f"p_{name}": p[:, i].astype(np.float32) for i, name in enumerate(classes)}
    table |= {f"t_{name}": truth[:, i] for i, name in enumerate(classes)}
    table |= {
        "predicted": predicted, "sex": generator.choice(["F", "M"], n), "view": "PA",
        "age": generator.integers(1, 90, n).astype(float),
    }  # fmt: skip
    return pd.DataFrame(table)


def _drawn_again(
    samples: pd.DataFrame, kind: str, classes: tuple[str, ...], skill: float, generator: np.random.Generator
) -> pd.DataFrame:
    """Give the same images other probabilities."""
    truth = np.nan_to_num(samples[[f"t_{name}" for name in classes]].to_numpy(dtype=float))
    logits = generator.normal(0, 1, truth.shape) + skill * truth
    if kind == "multiclass":
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        predicted = [classes[place] for place in p.argmax(axis=1)]
    else:
        p = 1 / (1 + np.exp(0.8 - logits))
        predicted = ["|".join(np.array(classes)[row >= 0.5]) for row in p]
    chances = {f"p_{name}": p[:, i].astype(np.float32) for i, name in enumerate(classes)}
    return samples.assign(**chances, predicted=predicted)


def _class_pictures(folder: Path, samples: pd.DataFrame, classes: tuple[str, ...], kind: str) -> None:
    entries: dict[str, list[dict[str, Any]]] = {"examples": [], "overlays": []}
    for number, name in enumerate(classes, 1):
        entries["examples"].append(
            {
                "file": f"examples/{number}.png", "class": name, "place": 1, "sample_id": f"kermany/train{number:04d}",
                "source": "kermany", "panels": ["as read", "as the net sees it", "augmented"],
            }
        )  # fmt: skip
    p, truth = (samples[[start + name for name in classes]].to_numpy(dtype=float) for start in ("p_", "t_"))
    ranked = samples.assign(loss=case_losses(p, truth, kind)).sort_values("loss", ascending=False)
    for part, rows in ranked.groupby("part", sort=False):
        for place, row in enumerate(rows.head(3).to_dict("records"), 1):
            entries["overlays"].append(
                {
                    "file": f"overlays/{part}_worst_{place}.png", "part": part, "rank": "worst", "place": place,
                    "sample_id": row["sample_id"], "source": row["source"], "loss": row["loss"],
                }
            )  # fmt: skip
    for kept, listed in entries.items():
        (folder / kept).mkdir()
        for entry in listed:
            cv2.imwrite(str(folder / entry["file"]), np.full((24, 24 if kept == "overlays" else 80), 90, np.uint8))
        _json(folder / kept / "index.json", listed)


def _class_epochs(n: int, classes: tuple[str, ...], lr: float, generator: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, n + 1)
    rise = 1 - np.exp(-epoch / 4)
    table: dict[str, Any] = {"epoch": epoch, "step": 125 * epoch, "lr": lr, "seconds": 24.5}
    for part, lost in (("train", 0.0), ("val", 0.06)):
        value = 0.85 * rise - lost + generator.normal(0, 0.01, n)
        table[f"{part}/loss"] = 1.1 - 0.9 * value + (0.012 * epoch if part == "val" else 0)
        table[f"{part}/accuracy"] = value + 0.02
        table[f"{part}/macro_f1"] = value
        table[f"{part}/auroc"] = value + 0.1
        table |= {f"{part}/f1/{name}": value for name in classes}
    return pd.DataFrame(table)
