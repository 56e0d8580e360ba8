"""Show why a classifier says what it says: heat maps, their share in the lungs, neighbours, a map of features."""

from __future__ import annotations

import csv
import logging
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lungseg import build, checkpoint
from lungseg.build_model import classifier
from lungseg.classifier import Classifier
from lungseg.commands.evaluate import with_checkpoint
from lungseg.commands.machine import cores, store_progress
from lungseg.commands.predict import radiographs, stems
from lungseg.data.datamodule import LungDataModule
from lungseg.errors import CheckpointError, ConfigError, DataError, ResourceError, first_five
from lungseg.explain.base import Explainer
from lungseg.explain.case import Case, as_input, check_wanted, explain_case, features_of
from lungseg.explain.embedding import nearest
from lungseg.explain.lung_masks import SUFFIXES, LungMasks, MaskFile, MaskFolder, SegmentedLungs
from lungseg.metrics.probabilities import predicted, probabilities
from lungseg.overlay import draw_heat
from lungseg.predictor import Predictor, read_pixels
from lungseg.remote import settings
from lungseg.remote.path import place
from lungseg.run_folder import recording, writing
from lungseg.stats.tsne import tsne
from lungseg.types import Part

log = logging.getLogger(__name__)

COLUMNS = (
    "file", "class", "probability", "predicted", "energy_in_lungs", "lungs_area", "neighbours", "flag", "overlay",
    "error",
)  # fmt: skip
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
PARTS: tuple[Part, ...] = ("train", "val", "test", "unused")


@dataclass(frozen=True)
class Features:
    """Features of some samples of the data that a checkpoint was trained on.

    Attributes:
        rows: part, source, sample_id, subject_id, label and, for each class, `p_<class>`; with what is predicted.
        features: (N, D) float32.
    """

    rows: pd.DataFrame
    features: NDArray[np.float32]


def run(cfg: dict[str, Any]) -> int:
    """Run the verb.

    Returns:
        0.

    Raises:
        ConfigError: nothing is asked for, the checkpoint is no classifier's, or a class is not known.
        DataError: some radiographs could not be read; all others were written first.
    """
    if not cfg["input"] and not cfg["embedding"]:
        msg = "nothing is asked for: give input=<radiograph or folder>, or embedding=true, or both"
        raise ConfigError(msg)
    if cfg["neighbours"] < 0:
        msg = f"neighbours={cfg['neighbours']} is below 0"
        raise ConfigError(msg)
    with recording(cfg) as folder:
        settings.use(cfg["paths"])
        output = Path(cfg["output"]).expanduser() if cfg["output"] else folder
        files = radiographs(place(cfg["input"]).expanduser(), output) if cfg["input"] else []
        made = _classifier(cfg)
        wanted = [cfg["classes"]] if isinstance(cfg["classes"], str) else cfg["classes"]
        check_wanted(made, wanted)
        masks = _lung_masks(cfg, made) if files else None
        module = _data(cfg, folder) if cfg["embedding"] or cfg["neighbours"] else None
        if cfg["embedding"] and module is not None:
            write_embedding(part_features(module, made, cfg["parts"], cfg["batch_size"]), made, output, cfg)
        if files:
            known = None
            if cfg["neighbours"] and module is not None:
                known = part_features(module, made, ["train"], cfg["batch_size"])
            explainer = build.make(cfg["explain"], "explain")
            explain(
                made, explainer, files, output,
                wanted=wanted, masks=masks, known=known, neighbours=cfg["neighbours"],
            )  # fmt: skip
    return 0


def explain(
    made: Classifier,
    explainer: Explainer,
    files: Sequence[tuple[Path, str]],
    output: Path,
    *,
    wanted: Sequence[str] | None = None,
    masks: LungMasks | None = None,
    known: Features | None = None,
    neighbours: int = 0,
) -> None:
    """Write an overlay for each class of each radiograph, and explain.csv; a row is on the disk before the next image.

    Args:
        made: the loaded checkpoint.
        explainer: draws the heat maps.
        files: (file, its name).
        output: folder to write into.
        wanted: classes to explain; None = those predicted.
        masks: finds the lungs of a radiograph; None = no energy is measured.
        known: the training part's features, among which neighbours are looked for.
        neighbours: how many are named.

    Raises:
        DataError: files that could not be explained, after all others were done.
        ResourceError: the output folder cannot be written.
    """
    began = time.monotonic()
    broken: list[str] = []
    without: list[str] = []
    flagged: list[str] = []
    stem = stems([name for _, name in files])
    try:
        output.mkdir(parents=True, exist_ok=True)
        with (output / "explain.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for path, name in files:
                try:
                    pixels = read_pixels(path)
                    lungs = masks(name, pixels) if masks is not None else None
                    case = explain_case(made, explainer, pixels, wanted=wanted, lungs=lungs)
                except DataError as error:
                    broken.append(name)
                    log.error("%s: %s", name, error)
                    writer.writerow({"file": name, "error": str(error)})
                else:
                    if masks is not None and lungs is None:
                        without.append(name)
                    if case.doubts:
                        flagged.append(name)
                    near = _named(case, known, neighbours) if known is not None else ""
                    writer.writerows(_write(output, name, stem[name], pixels, case, lungs, near))
                file.flush()
    except OSError as error:
        msg = f"{output} cannot be written ({error}). Give another folder with output="
        raise ResourceError(msg) from error
    done = len(files) - len(broken)
    log.info("%d radiographs explained in %.1f s: %s", done, time.monotonic() - began, output)
    if without:
        log.warning(
            "%d of %d radiographs have no mask below lung_masks=, so no energy was measured for them: %s",
            len(without), len(files), first_five(without),
        )  # fmt: skip
    if flagged:
        log.warning(
            "%d of %d pictures may be no frontal chest radiographs: %s. The column flag of %s says why",
            len(flagged), len(files), first_five(flagged), output / "explain.csv",
        )  # fmt: skip
    if broken:
        msg = (
            f"{len(broken)} of {len(files)} files could not be explained: {first_five(broken)}. The reasons are in "
            f"{output / 'explain.csv'}; the others are done"
        )
        raise DataError(msg)


def part_features(module: LungDataModule, made: Classifier, parts: Sequence[str], batch_size: int) -> Features:
    """Run the network over parts of the data it was trained on.

    Args:
        module: serves the data.
        made: the loaded checkpoint.
        parts: names of parts.
        batch_size: images in one pass.

    Raises:
        ConfigError: the parts hold no image, or the network does not tell its features.
    """
    chosen: list[Part] = [part for part in PARTS if part in parts]
    at = module.positions(*chosen)
    if not len(at):
        msg = f"the split leaves no sample in the parts {', '.join(parts)}; name others with parts="
        raise ConfigError(msg)
    features, logits = [], []
    for start in range(0, len(at), max(1, batch_size)):
        batch = as_input(module.store.images(at[start : start + max(1, batch_size)]), made)
        features.append(features_of(made.network, batch))
        with torch.no_grad():
            logits.append(made.network(batch).float().cpu().numpy())
    chances = probabilities(np.concatenate(logits), made.kind)
    taken = module.table.take(at)
    columns: dict[str, Any] = {"part": [module.part_of(int(i)) for i in at]}
    columns |= {name: taken.column(name).to_pylist() for name in ("source", "sample_id", "subject_id", "label")}
    columns["predicted"] = predicted(chances, made.kind, made.classes, made.thresholds)
    columns |= {f"p_{name}": chances[:, i].astype(np.float32) for i, name in enumerate(made.classes)}
    return Features(pd.DataFrame(columns), np.concatenate(features))


def write_embedding(found: Features, made: Classifier, output: Path, cfg: dict[str, Any]) -> None:
    """Write embedding.parquet (the rows, x and y of the layout, the features) and embedding.svg.

    Raises:
        DataError: the images are too few to lay out.
        ResourceError: the folder cannot be written.
    """
    from lungseg.report.embedding import embedding_figure

    points = tsne(found.features, seed=cfg["seed"], perplexity=cfg["perplexity"])
    frame = found.rows.assign(x=points[:, 0], y=points[:, 1], features=list(found.features))
    with writing(output / "embedding.parquet"):
        output.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(output / "embedding.parquet")
        figure = embedding_figure(frame.assign(label=frame["label"].astype(str)), made.classes)
        if figure is not None:
            (output / "embedding.svg").write_text(figure.plain, encoding="utf-8")
    log.info("the features of %d images are laid out: %s", len(frame), output / "embedding.svg")


def _classifier(cfg: dict[str, Any]) -> Classifier:
    """Load the classifier; with masks of the user's own its net for lungs is not needed."""
    loaded = checkpoint.load(cfg["checkpoint"])
    kind = build.kind_of(loaded.record["config"])
    draws = bool(cfg["input"]) and cfg["lung_masks"] is None
    if kind is not None:
        try:
            return classifier(loaded, kind, cfg["device"], None, draws_lungs=draws)
        except ConfigError as error:
            if not draws:
                raise
            msg = f"{error}. Masks of these radiographs can be given too: lung_masks=<folder, or checkpoint>"
            raise ConfigError(msg) from error
    msg = (
        f"checkpoint={cfg['checkpoint']} segments; explanations are of classifiers. Give the run of one "
        "(task=multiclass or task=multilabel), or see the overlays of: lungseg predict"
    )
    raise ConfigError(msg)


def _lung_masks(cfg: dict[str, Any], made: Classifier) -> LungMasks | None:
    """Return what finds the lungs: as asked for, else what draws them for the classifier where it needs them."""
    given = cfg["lung_masks"]
    if given is None:
        return None if made.segmenter is None else SegmentedLungs(segmenter=made.segmenter, name="preprocess.steps")
    path = place(given).expanduser()
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        if not place(cfg["input"]).expanduser().is_file():
            msg = f"lung_masks={given} is one mask, but input={cfg['input']} is a folder; give a folder of masks"
            raise ConfigError(msg)
        return MaskFile(file=path)
    runs = ("checkpoints", "best.ckpt", "last.ckpt")
    if path.is_dir() and not any((path / name).exists() for name in runs):
        return MaskFolder(folder=path)
    segmenter = build.predictor(path, device=cfg["device"])
    if not isinstance(segmenter, Predictor):
        msg = f"lung_masks={given} is a classifier; give the checkpoint of a segmentation run, or a folder of masks"
        raise CheckpointError(msg)
    return SegmentedLungs(segmenter=segmenter, name=str(given))


def _data(cfg: dict[str, Any], folder: Path) -> LungDataModule:
    """Serve the data that the checkpoint was trained on, by its own split.

    Raises:
        CheckpointError: the split comes out another one, so it is not known what was trained on.
    """
    loaded = checkpoint.load(cfg["checkpoint"])
    merged = with_checkpoint({**cfg, "n_boot": 0, "report": False, "allow_leakage": False}, loaded)
    data = build.data(
        merged,
        folder,
        test_parts=("test",),
        normalize=loaded.record["normalize"],
        progress=store_progress(),
        jobs=cores(),
    )
    if data.facts["split"]["hash"] != loaded.record["split_hash"]:
        msg = (
            f"the split of {loaded.path} comes out another one than in training, so it is not known which images it "
            f"was trained on. Check that the files below {cfg['paths']['data']} are the same; without neighbours and "
            "embedding no data are needed"
        )
        raise CheckpointError(msg)
    return data.module


def _named(case: Case, known: Features, k: int) -> str:
    """Name the nearest training images of a case with label and distance."""
    found = nearest(case.features[None], known.features, k)
    return "; ".join(
        f"{known.rows['sample_id'].iloc[place]} ({known.rows['label'].iloc[place]}, {distance:.4f})"
        for place, distance in zip(found.place[0], found.distance[0], strict=True)
    )


def _write(
    output: Path,
    name: str,
    stem: str,
    pixels: NDArray[Any],
    case: Case,
    lungs: NDArray[np.bool_] | None,
    neighbours: str,
) -> list[dict[str, Any]]:
    rows = []
    for of, heat in case.heat.items():
        path = output / "overlays" / f"{stem}_{_NOT_IN_NAMES.sub('_', of)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", draw_heat(pixels, heat, lungs))[1].tobytes())
        rows.append(
            {
                "file": name,
                "class": of,
                "probability": f"{case.probabilities[of]:.6f}",
                "predicted": case.predicted,
                "energy_in_lungs": _number(case.energy.get(of, math.nan)),
                "lungs_area": _number(case.lungs_area),
                "neighbours": neighbours,
                "flag": "; ".join(case.doubts),
                "overlay": path.relative_to(output).as_posix(),
                "error": "",
            }
        )
    return rows


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
