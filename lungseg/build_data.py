"""Configuration to data: sources, table, split, store and the datamodule around them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungseg.build_model import classes_of, kind_of, lung_segmenter, steps
from lungseg.data.balance.none import NoBalance
from lungseg.data.datamodule import LungDataModule
from lungseg.data.guides import MANIFEST, DiskGuides, FolderGuides, Guides, masks_wanted
from lungseg.data.labels import ClassCount, class_counts, encode_table, leave_out_unknown
from lungseg.data.preprocess.base import Step
from lungseg.data.preprocess.lungs import DISK
from lungseg.data.sources.base import Source
from lungseg.data.splits import check_subjects, split_hash
from lungseg.data.store import Store
from lungseg.data.structures import check_structures
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError
from lungseg.guide_masks import predict_masks, sha256_of
from lungseg.instantiation import Config, make
from lungseg.remote import settings
from lungseg.remote.urls import is_url
from lungseg.run_folder import is_first_process
from lungseg.types import Part

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """A datamodule, and what the run folder says about it.

    Attributes:
        module: serves the batches.
        facts: content of data.json.
    """

    module: LungDataModule
    facts: dict[str, Any]


def sources(cfg: Config) -> dict[str, Source]:
    """Build the data sources by name, without touching their files.

    Raises:
        ConfigError: there is none.
    """
    settings.use(cfg.get("paths") or {})  # remote sets are read through the cache
    found = {
        name: make(node, f"data.sources.{name}") for name, node in cfg["data"]["sources"].items() if node is not None
    }
    if not found:
        msg = "data.sources is empty; choose a data set: data=jsrt"
        raise ConfigError(msg)
    return found


def structures_of(cfg: Config) -> list[str]:
    """Return the structures whose masks are read; none where only classes are asked for.

    Raises:
        ConfigError: a name is wrong, or segmentation has none.
    """
    structures, classes = cfg["data"]["structures"], cfg["data"].get("classes")
    if not structures and classes and kind_of(cfg) is None and "task" in cfg:
        msg = (
            f"data.structures is empty, so there is nothing to outline; this set is for its classes "
            f"({', '.join(classes)}): task=multiclass or task=multilabel, or name structures that it has masks of"
        )
        raise ConfigError(msg)
    needless = kind_of(cfg) is not None or ("task" not in cfg and cfg["data"].get("classes"))
    if structures or not needless:
        check_structures(structures)
    return list(structures)


def table(cfg: Config, path: Path | None = None) -> tuple[SamplesTable, dict[str, tuple[Source, Path]], dict[str, Any]]:
    """Index all sources into one samples table.

    Args:
        cfg: the config.
        path: write the table there and map it into memory, so that a million rows cost what a thousand do.

    Returns:
        The table, name -> (source, its root), and name -> facts for data.json.
    """
    structures = structures_of(cfg)
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
    structures = structures_of(cfg)
    chain = steps(cfg)
    return Store.build(
        samples,
        homes,
        steps=chain,
        structures=structures,
        guides=guides(cfg, chain, samples, homes),
        folder=Path(cfg["paths"]["store"]),
        jobs=jobs,
        progress=progress,
    )


def guides(
    cfg: Config, chain: Mapping[str, Step], samples: SamplesTable, homes: Mapping[str, tuple[Source, Path]]
) -> Guides | None:
    """Return where the lung masks of the steps that want some come from; None where no step does.

    Those of a segmentation checkpoint are drawn now, once for each radiograph, into a folder beside the store.

    Raises:
        ConfigError: there is no such folder or checkpoint.
        CheckpointError: the network draws no lungs, or was trained on these sets.
        DataError: radiographs cannot be read.
    """
    wanted = masks_wanted(chain)
    if wanted is None:
        return None
    if wanted == DISK:
        return DiskGuides()
    if not is_url(wanted) and ((folder := Path(wanted).expanduser()) / MANIFEST).is_file():
        return FolderGuides.open(folder)
    loaded, drawing = lung_segmenter(wanted)
    return predict_masks(
        drawing,
        samples,
        homes,
        Path(cfg["paths"]["store"]) / "lung_masks" / sha256_of(loaded.path)[:16],
        checkpoint=loaded.path,
        allow_seen=bool(cfg.get("allow_leakage", False)),
    )


def split_seed(cfg: Config) -> int:
    """Return the seed of the split: `split_seed` where it is given, else that of the run.

    Example:
        >>> split_seed({"seed": 5, "split_seed": 0}), split_seed({"seed": 5})
        (0, 5)
    """
    given = cfg.get("split_seed")
    return int(cfg["seed"] if given is None else given)


def data(
    cfg: Config,
    run_dir: Path,
    *,
    test_parts: tuple[Part, ...],
    normalize: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
    jobs: int = 1,
) -> Data:
    """Build the datamodule: table, labels, split, balance of the training part, store.

    Args:
        cfg: the config.
        run_dir: gets samples.arrow.
        test_parts: parts that the test loader serves.
        normalize: constants of a checkpoint; None takes those of the config, fitted on the training part if asked.
        progress: of filling the store.
        jobs: processes that fill the store.
    """
    path = run_dir / "samples.arrow"
    first = is_first_process()
    place = (_beside(path) if path.exists() else path) if first else path.with_name(f".{path.name}.{os.getpid()}")
    samples, homes, facts = table(cfg, place)
    if not first:
        place.unlink()  # it is mapped, and the run folder is the first process's to write
    split = make(cfg["split"], "split")
    parts: NDArray[np.str_] = np.asarray(split.assign(samples, split_seed(cfg)))
    if not cfg.get("allow_leakage", False):
        check_subjects(samples, parts)
        refuse_shared_patients(homes)
    kind, classes = kind_of(cfg), classes_of(cfg)
    labels = None
    if kind is not None:
        labels = encode_table(samples, classes, kind)
        parts = leave_out_unknown(parts, labels)
    balance = make(cfg["balance"], "balance") if cfg.get("balance") else NoBalance()
    parts = balance.apply(samples, parts, cfg["seed"])
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
        classes=classes,
        labels=labels,
        weights=balance.weights(samples, parts),
    )
    size = "x".join(str(side) for side in filled.size)
    return Data(
        module,
        {
            "sources": facts,
            "split": {
                "strategy": str(cfg["split"]["_target_"]).rsplit(".", 1)[-1],
                **{key: value for key, value in cfg["split"].items() if key != "_target_"},
                "seed": split_seed(cfg),
                "hash": split_hash(samples, parts),
                "by": getattr(split, "by", "subject"),
                "counts": {str(p): int((parts == p).sum()) for p in ("train", "val", "test", "unused")},
                "subjects": _subjects(samples, parts),
            },
            "balance": type(balance).__name__,
            "preprocess": f"{', '.join(cfg['preprocess']['steps'])}; {size}, {filled.dtype}",
            "normalize": {"mean": norm.mean, "std": norm.std},
            "structures": list(cfg["data"]["structures"]),
            "convention": {name: source.convention for name, (source, _) in homes.items()},
            **({} if labels is None else {"classes": _classes(labels, classes, parts)}),
            **({} if masks_wanted(steps(cfg)) is None else {"kept": _kept(module)}),
        },
    )


def _classes(labels: NDArray[Any], classes: Sequence[str], parts: NDArray[np.str_]) -> dict[str, Any]:
    """Say how many images of each part are of each class."""
    counts = class_counts(labels, classes, parts)
    for part, of in counts.items():
        log.info("%s part: %s", part, ", ".join(f"{name} {n.positive}" + _unknown(n) for name, n in of.items()))
    told = {part: {name: n._asdict() for name, n in of.items()} for part, of in counts.items()}
    return {"names": list(classes), "counts": told}


def _kept(module: LungDataModule) -> dict[str, Any]:
    """Say what share of the pixels a step that goes by the lungs left: part -> class, or `all`, -> n, mean, sd."""
    everything = np.arange(len(module.table))
    shares = module.store.kept(everything).astype(np.float64)
    if module.labels is None:
        groups = {"all": np.ones(len(shares), bool)}
    else:
        truth = module.truth_at(everything)
        groups = {name: truth[:, c] == 1 for c, name in enumerate(module.classes)}
    found: dict[str, Any] = {}
    parts: tuple[Part, ...] = ("train", "val", "test")
    for part in parts:
        at = module.positions(part)
        chosen = {name: shares[at[of[at]]] for name, of in groups.items()}
        found[part] = {
            name: {
                "n": len(values),
                "mean": float(values.mean()) if len(values) else None,
                "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
            }
            for name, values in chosen.items()
        }
    return found


def _unknown(count: ClassCount) -> str:
    return f" ({count.unknown} unknown)" if count.unknown else ""


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
