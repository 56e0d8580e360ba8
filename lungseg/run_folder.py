"""The run folder's record: what was run, on which machine, and how it ended."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from lungseg import __version__
from lungseg.errors import ConfigError, DivergedError, LungsegError, PreemptedError, ResourceError, Stopped
from lungseg.lock import FolderLock

log = logging.getLogger(__name__)

PACKAGES = (
    "torch", "torchvision", "lightning", "hydra-core", "omegaconf", "segmentation-models-pytorch", "timm",
    "torchmetrics", "albumentations", "opencv-python-headless", "numpy", "pandas", "pyarrow", "wandb",
)  # fmt: skip


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON in one move, NaN as null, so that a reader never meets half a file."""
    write_text(path, json.dumps(_no_nan(value), indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text in one move.

    Raises:
        OSError: it cannot be written; what stood there stays.
    """
    waiting = path.with_name(f".{path.name}.part")
    try:
        waiting.write_text(text, encoding="utf-8")
        waiting.replace(path)
    except OSError:
        waiting.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say which file could not be written, and what to do, when the disk is full or may not be written to.

    Raises:
        ResourceError: the body met an OSError.
    """
    try:
        yield
    except OSError as error:
        msg = f"{path} cannot be written ({error}). Free some space, or set paths.outputs to a folder that can"
        raise ResourceError(msg) from error


def _no_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _no_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_no_nan(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would grow larger than is allowed (ulimit -f)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk answers with an input/output error",
    errno.EMFILE: "too many files are open (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOTDIR: "a part of its path is a file",
    errno.ESTALE: "the network disk is gone",
}


def resource_error(error: OSError, folder: Path, *, resume: bool = False) -> ResourceError | None:
    """Return the sentence for an error of the operating system that blames the machine, None for any other.

    Args:
        error: as it was raised.
        folder: the run folder.
        resume: the run can be taken up where it stands.
    """
    cause = _CAUSES.get(error.errno or 0)
    if cause is None:
        return None
    place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else folder
    there = next((path for path in (place, *place.absolute().parents) if path.is_dir()), Path.cwd())
    free = f"{shutil.disk_usage(there).free / 2**20:,.0f} MiB are free there"
    go_on = f"and go on with: python -m lungseg resume={folder}" if resume else "and run the command again"
    return ResourceError(
        f"{place} cannot be used: {cause} ({error}); {free}. What was written before is intact: make room, or allow "
        f"the access, {go_on}; or set paths.outputs to another folder"
    )


def is_first_process() -> bool:
    """Tell whether this is the process that writes the run folder, of several that train together."""
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


@contextmanager
def recording(cfg: Mapping[str, Any]) -> Iterator[Path]:
    """Keep `config.yaml`, `overrides.yaml`, `env.json` and `status.json` of a run while its body runs.

    The folder is locked meanwhile. A run that is taken up (`resume`) keeps its first three files until `take_up` is
    called, so that an attempt that is refused changes nothing.

    Yields:
        The run folder.

    Raises:
        ConfigError: the folder holds another run already.
        ResourceError: the folder cannot be written, or another process is at work in it.
    """
    folder = Path(cfg["run_dir"])
    if not is_first_process():
        yield folder
        return
    verb = str(cfg["verb"])
    started = time.time()
    with _locked(folder):
        before = _read_status(folder)
        _refuse_occupied(cfg, folder, before)
        status: dict[str, Any] = {
            "verb": verb,
            "state": "running",
            "exit_code": None,
            "error": None,
            "started": before.get("started") or _now(),
            "ended": None,
            "seconds": 0.0,
            "resumed": [*before.get("resumed", []), _now()] if before else [],
            "pid": os.getpid(),
        }
        spent = float(before.get("seconds") or 0.0)
        config = folder / "config.yaml"
        stood = _stamp(config)
        try:
            if not before or not (folder / "config.yaml").exists():
                take_up(cfg, folder)
            write_json(folder / "status.json", status)
            yield folder
            status |= {"state": "done", "exit_code": 0}
        except BaseException as raised:
            error = raised
            if isinstance(raised, OSError):
                error = resource_error(raised, folder, resume=verb == "train") or raised
            status |= {**_ending(error), "error": f"{type(error).__name__}: {error}"}
            if error is raised:
                raise
            raise error from raised
        finally:
            status |= {"ended": _now(), "seconds": round(spent + time.time() - started, 2)}
            refused = before.get("state", "running") != "running" and stood is not None and _stamp(config) == stood
            _write_last(folder / "status.json", before if refused and status["state"] != "done" else status)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make and lock a run folder; only what the lock itself raises is turned into an error of ours."""
    lock = FolderLock(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.__enter__()
    except OSError as error:
        msg = f"the run folder {folder} cannot be written ({error}). Set paths.outputs to a folder that can"
        raise resource_error(error, folder) or ResourceError(msg) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def take_up(cfg: Mapping[str, Any], folder: Path) -> None:
    """Write `config.yaml`, `overrides.yaml` and `env.json` of a run that begins, or goes on.

    Raises:
        OSError: the folder cannot be written.
    """
    import yaml

    if not is_first_process():
        return
    plain = {key: value for key, value in cfg.items() if key not in ("verb", "run_dir", "overrides")}
    write_text(folder / "config.yaml", yaml.safe_dump(_no_nan(plain), sort_keys=False, allow_unicode=True))
    write_text(folder / "overrides.yaml", yaml.safe_dump(_last_ones(cfg["overrides"]), allow_unicode=True))
    write_json(folder / "env.json", environment())


def _last_ones(lines: Sequence[str]) -> list[str]:
    """Return the overrides that a run which is taken up again shall start from: of one key the last.

    Example:
        >>> _last_ones(["seed=1", "trainer.max_epochs=2", "++seed=3", "resume=auto"])
        ['++seed=3', 'trainer.max_epochs=2']
    """
    found: dict[str, str] = {}
    for line in lines:
        key = line.partition("=")[0].lstrip("+~")
        if key != "resume":
            found[key] = line
    return list(found.values())


def _refuse_occupied(cfg: Mapping[str, Any], folder: Path, before: Mapping[str, Any]) -> None:
    """Refuse to write a new run over the results of another.

    Raises:
        ConfigError: there are results.
    """
    results = [name for name in ("checkpoints", "metrics.json", "areas.csv", "labels.csv") if (folder / name).exists()]
    if results and not cfg.get("resume"):
        how = f"go on with it by resume={folder}, or " if before.get("verb") == "train" else ""
        msg = f"{folder} holds a run already ({', '.join(results)}); {how}leave hydra.run.dir out for a new folder"
        raise ConfigError(msg)


def _ending(error: BaseException) -> dict[str, Any]:
    """Return state and exit code for what ended a run."""
    if isinstance(error, DivergedError):
        return {"state": "diverged", "exit_code": error.exit_code}
    if isinstance(error, PreemptedError | Stopped):
        return {"state": "interrupted", "exit_code": error.exit_code}
    if isinstance(error, KeyboardInterrupt):
        return {"state": "interrupted", "exit_code": 130}
    return {"state": "failed", "exit_code": error.exit_code if isinstance(error, LungsegError) else 1}


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is replaced, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def refuse_small_disk(folder: Path, *, weights: int) -> None:
    """Refuse to train where the checkpoints will not fit, before the first step instead of after the first epoch.

    Args:
        folder: the run folder.
        weights: bytes of the network's weights; a checkpoint to resume from holds three times as much (Adam's
            moments), and it, the best weights and the successor of one of them lie there together.

    Raises:
        ResourceError: too little is free.
    """
    held = sum(path.stat().st_size for path in (folder / "checkpoints").glob("*.ckpt"))
    needed, free = max(7 * weights - held, 3 * weights), shutil.disk_usage(folder).free
    if free < needed:
        msg = (
            f"{folder} has {free / 2**20:,.0f} MiB free, and the checkpoints of this network take up to "
            f"{needed / 2**20:,.0f} MiB. Make room, or set paths.outputs to a folder on another disk"
        )
        raise ResourceError(msg)


def _write_last(path: Path, status: Mapping[str, Any]) -> None:
    """Write how a run ended; on a full disk in place of the text that stands there, which takes no more room."""
    try:
        write_json(path, status)
    except OSError as error:
        try:
            path.write_text(json.dumps(_no_nan(status)) + "\n", encoding="utf-8")
        except OSError:
            log.error("%s could not be written: %s", path, error)


def _read_status(folder: Path) -> dict[str, Any]:
    """Return the status of a run that is taken up again, or nothing."""
    try:
        found: Any = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Return versions, commit and hardware."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    commit, dirty = _commit()
    return {
        "lungseg": __version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "hardware": _hardware(),
    }


def _commit() -> tuple[str | None, bool]:
    """Return the commit of the clone lungseg runs from, if it is one, and whether files were changed since."""
    here = Path(__file__).resolve().parents[1]
    if not (here / ".git").exists():
        return None, False
    try:
        run = {"cwd": here, "capture_output": True, "text": True, "timeout": 10, "check": True}
        commit = subprocess.run(["git", "rev-parse", "HEAD"], **run).stdout.strip()  # type: ignore[call-overload]
        changed = subprocess.run(["git", "status", "--porcelain"], **run).stdout.strip()  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return None, False
    return commit, bool(changed)


def _hardware() -> dict[str, Any]:
    import psutil

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    gpus: list[str] = []
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "ram_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpus,
    }
