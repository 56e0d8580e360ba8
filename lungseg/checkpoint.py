"""Reading checkpoints: checked for damage, never executing what they hold."""

from __future__ import annotations

import io
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from lungseg import __version__
from lungseg.errors import CheckpointError, ConfigError, first_five, near_name
from lungseg.remote.path import RemotePath
from lungseg.remote.path import place as path_of

RECORD_FORMAT = 1

FUNCTIONS = (
    "lungseg.metrics.", "lungseg.models.", "timm.create_model", "segmentation_models_pytorch.create_model",
)  # fmt: skip
"""Functions that the config of a checkpoint may name, by the start of their names."""
_PARTS: dict[str, type] = {"lungseg": dict, "state_dict": Mapping, "epoch": int, "global_step": int}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        path: the file.
        record: config, preprocessing constants, structures, threshold, split hash, versions.
        weights: state dict of the task (`model.` in front of the network's names).
        epoch: whole epochs trained when it was written.
        step: optimiser steps done.
        content: the whole file as loaded, for resuming.
    """

    path: Path
    record: dict[str, Any]
    weights: dict[str, Any]
    epoch: int
    step: int
    content: dict[str, Any]


def find(place: str | Path) -> Path:
    """Return the checkpoint file of a path, absolute: the file itself, or of a run folder its best, else its last.

    Raises:
        ConfigError: there is none.
    """
    path = path_of(place).expanduser().absolute()
    if path.is_file():
        return path
    if path.is_dir():
        for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "best.ckpt", "last.ckpt"):
            if (path / name).is_file():
                return path / name
        msg = f"checkpoint={place} is a folder without checkpoints/best.ckpt or checkpoints/last.ckpt; give a file"
        raise ConfigError(msg)
    near = near_name(path.name, [p.name for p in path.parent.glob("*")]) if path.parent.is_dir() else None
    hint = f"; did you mean {path.parent / near}?" if near else ". Give a .ckpt file or a run folder"
    msg = f"checkpoint={place} does not exist{hint}"
    raise ConfigError(msg)


def load(place: str | Path) -> Checkpoint:
    """Load a checkpoint onto the CPU.

    The file is a zip archive whose sums are verified first. Only tensors and plain containers are unpickled
    (`weights_only=True`), and its config may name only classes to build, so a checkpoint from a stranger cannot run
    code of its own.

    Raises:
        ConfigError: there is no such file.
        CheckpointError: it is damaged, holds other objects, or was not written by lungseg.
    """
    path = find(place)
    file: Path | io.BytesIO = io.BytesIO(path.read_bytes()) if isinstance(path, RemotePath) else path
    _verify(path, file)
    if isinstance(file, io.BytesIO):
        file.seek(0)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        named = found[1] if found else "an object that is not named"
        msg = (
            f"the checkpoint {path} holds more than tensors and plain values ({named}); loading it could "
            "run foreign code, so it was not loaded. Use a checkpoint written by lungseg"
        )
        raise CheckpointError(msg) from error
    except Exception as error:  # a forged pickle can end in any error
        msg = f"the checkpoint {path} cannot be read: {error}. Use the other one of best.ckpt and last.ckpt"
        raise CheckpointError(msg) from error
    if not isinstance(content, Mapping) or any(not isinstance(content.get(k), t) for k, t in _PARTS.items()):
        msg = (
            f"{path} is no checkpoint of lungseg: it has no record of its config. Give best.ckpt or last.ckpt of a run"
        )
        raise CheckpointError(msg)
    record = content["lungseg"]
    if record.get("format", 0) != RECORD_FORMAT:
        msg = (
            f"{path} was written by lungseg {record.get('lungseg')} in format {record.get('format')}, this one reads "
            f"format {RECORD_FORMAT}; install the version that wrote it"
        )
        raise CheckpointError(msg)
    refuse_foreign_targets(path, record.get("config", {}), written_by=str(record.get("lungseg", "unknown")))
    # best.ckpt is written while the validation of its epoch ends, and Lightning's counter is still one behind
    done = content.get("epochs_done", content["epoch"] + 1)
    return Checkpoint(path, record, content["state_dict"], done, content["global_step"], dict(content))


def refuse_foreign_targets(path: Path, config: Any, key: str = "config", *, written_by: str = "unknown") -> None:
    """Refuse a config that would have something called that is no class of an installed package.

    A checkpoint names by `_target_` what its network is built from. Hydra refuses what runs commands; what loads code,
    or writes files, is refused here: everything of the standard library, and functions but for those in `FUNCTIONS`.

    Args:
        path: of the checkpoint, for the message.
        config: a node of the config.
        key: of the node.
        written_by: version of lungseg that wrote it; a class of ours that is not here belongs to that version.

    Raises:
        CheckpointError: names key and target.
    """
    if isinstance(config, Mapping):
        target = config.get("_target_")
        if target is not None and not _may_be_built(str(target)):
            if _is_of_another_version(str(target)):
                msg = (
                    f"the checkpoint {path} needs {target} ({key}), which lungseg {__version__} does not have; it was "
                    f"written by lungseg {written_by}. Install that version: pip install lungseg=={written_by}"
                )
                raise CheckpointError(msg)
            msg = (
                f"the checkpoint {path} would have {target} called ({key}._target_), which is no class of a package "
                "that is installed here, so it was not used. Install the package it was trained with, or use a "
                "checkpoint from someone you trust"
            )
            raise CheckpointError(msg)
        for name, value in config.items():
            refuse_foreign_targets(path, value, f"{key}.{name}", written_by=written_by)
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            refuse_foreign_targets(path, value, f"{key}.{number}", written_by=written_by)


def _may_be_built(target: str) -> bool:
    module, _, name = target.rpartition(".")
    if not module or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    if not name[:1].isupper() and not target.startswith(FUNCTIONS):
        return False
    try:
        return find_spec(module) is not None  # a module, and not what a module imported
    except (ImportError, ValueError):
        return False


def _is_of_another_version(target: str) -> bool:
    """Whether the name is that of a class in a module of ours that is not there."""
    module, _, name = target.rpartition(".")
    if not module.startswith("lungseg.") or not name[:1].isupper():
        return False
    try:
        return find_spec(module) is None
    except ImportError:
        return False  # it reaches into a module for what that imported


def _verify(path: Path, file: Path | io.BytesIO) -> None:
    """Check the archive's sums; a flipped bit or a missing end is named."""
    try:
        with zipfile.ZipFile(file) as archive:
            bad = archive.testzip()
    except Exception as error:  # a damaged archive ends in errors of many kinds
        size = path.stat().st_size
        msg = (
            f"the checkpoint {path} ({size} bytes) is cut off or no checkpoint at all ({error}). Use the other one of "
            "best.ckpt and last.ckpt in that folder, or train again"
        )
        raise CheckpointError(msg) from error
    if bad is not None:
        msg = (
            f"the checkpoint {path} is damaged: {bad} does not match its sum. Use the other one of best.ckpt and "
            "last.ckpt in that folder"
        )
        raise CheckpointError(msg)


def load_weights(module: torch.nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into a task.

    Raises:
        CheckpointError: the network is another one; names the first tensors that differ and the key to look at.
    """
    own = module.state_dict()
    theirs = checkpoint.weights
    missing = [name for name in own if name not in theirs]
    extra = [name for name in theirs if name not in own]
    shapes = [
        f"{name} is {tuple(theirs[name].shape)}, the network wants {tuple(own[name].shape)}"
        for name in own
        if name in theirs and own[name].shape != theirs[name].shape
    ]
    if missing or extra or shapes:
        parts = [f"{len(shapes)} tensors of other shapes: {first_five(shapes)}"] if shapes else []
        parts += [f"{len(missing)} tensors are not in it: {first_five(missing)}"] if missing else []
        parts += [f"{len(extra)} are unknown to the network: {first_five(extra)}"] if extra else []
        model = checkpoint.record.get("config", {}).get("model")
        msg = (
            f"the checkpoint {checkpoint.path} is of another network. {'; '.join(parts)}. It was trained with "
            f"model={model}; leave the model keys as they are there"
        )
        raise CheckpointError(msg)
    module.load_state_dict(theirs)
