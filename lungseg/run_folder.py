"""The run folder's record: what was run, on which machine, and how it ended."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lungseg import __version__
from lungseg.errors import DivergedError, LungsegError, PreemptedError, ResourceError

log = logging.getLogger(__name__)

PACKAGES = (
    "torch", "torchvision", "lightning", "hydra-core", "omegaconf", "segmentation-models-pytorch", "timm",
    "torchmetrics", "albumentations", "opencv-python-headless", "numpy", "pandas", "pyarrow", "wandb",
)  # fmt: skip


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON in one move, NaN as null, so that a reader never meets half a file."""
    waiting = path.with_name(f".{path.name}.part")
    waiting.write_text(json.dumps(_no_nan(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    waiting.replace(path)


def _no_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _no_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_no_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


@contextmanager
def recording(cfg: Mapping[str, Any]) -> Iterator[Path]:
    """Keep `config.yaml`, `overrides.yaml`, `env.json` and `status.json` of a run while its body runs.

    Yields:
        The run folder.

    Raises:
        ResourceError: the folder cannot be written.
    """
    import yaml

    folder = Path(cfg["run_dir"])
    before = _read_status(folder)
    started = time.time()
    status: dict[str, Any] = {
        "verb": cfg["verb"],
        "state": "running",
        "exit_code": None,
        "error": None,
        "started": before.get("started") or _now(),
        "ended": None,
        "seconds": 0.0,
        "resumed": [*before.get("resumed", []), _now()] if before else [],
        "pid": os.getpid(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plain = {key: value for key, value in cfg.items() if key not in ("verb", "run_dir", "overrides")}
        (folder / "config.yaml").write_text(yaml.safe_dump(_no_nan(plain), sort_keys=False, allow_unicode=True))
        if not before:
            (folder / "overrides.yaml").write_text(yaml.safe_dump(list(cfg["overrides"])))
        write_json(folder / "env.json", environment())
        write_json(folder / "status.json", status)
    except OSError as error:
        msg = f"the run folder {folder} cannot be written ({error}). Set paths.outputs to a folder that can"
        raise ResourceError(msg) from error
    spent = float(before.get("seconds") or 0.0)
    try:
        yield folder
        status |= {"state": "done", "exit_code": 0}
    except BaseException as error:
        state = "interrupted" if isinstance(error, PreemptedError | KeyboardInterrupt) else "failed"
        state = "diverged" if isinstance(error, DivergedError) else state
        code = (
            error.exit_code if isinstance(error, LungsegError) else 130 if isinstance(error, KeyboardInterrupt) else 1
        )
        status |= {"state": state, "exit_code": code, "error": f"{type(error).__name__}: {error}"}
        raise
    finally:
        status |= {"ended": _now(), "seconds": round(spent + time.time() - started, 2)}
        try:
            write_json(folder / "status.json", status)
        except OSError as error:
            log.error("status.json could not be written in %s: %s", folder, error)


def _read_status(folder: Path) -> dict[str, Any]:
    """Return the status of a run that is taken up again, or nothing."""
    try:
        found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


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
