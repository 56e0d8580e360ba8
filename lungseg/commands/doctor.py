"""Look at the machine: versions, devices, disk, data, and what is missing."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from lungseg import __version__
from lungseg.config import config_dir
from lungseg.errors import LungsegError, ResourceError
from lungseg.remote.path import place

MALICIOUS = {"lightning": {"2.6.2", "2.6.3"}, "pytorch-lightning": {"2.6.2", "2.6.3"}}
"""Versions that steal credentials when they are imported (GHSA-w37p-236h-pfx3)."""
TOLD = {"torch", "torchvision", "lightning", "hydra-core", "omegaconf", "numpy", "albumentations"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
NEEDED_GIB, ADVISED_GIB = 1.0, 10.0
SHARED_MEMORY_GIB = 1.0

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        state: `ok`; `note`: something optional lacks; `missing`: something needed lacks.
        subject: what was looked at.
        text: what was seen, and what to do about it.
    """

    state: State
    subject: str
    text: str


def run(cfg: dict[str, Any]) -> int:
    """Print what was found.

    Args:
        cfg: the resolved configuration of the verb.

    Returns:
        0, or 4 when something needed is missing.
    """
    packages_found = list(packages())
    findings = [Finding("ok", "lungseg", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")]
    findings += packages_found
    whole = all(finding.state != "missing" for finding in packages_found)
    # a package that is missing or malicious must not be imported, nor what imports it
    findings += list(devices()) if whole else [Finding("note", "devices", "not looked at until the packages are right")]
    findings += [*disk(Path(cfg["paths"]["outputs"])), *shared_memory(), *browser()]
    findings += list(data(place(cfg["paths"]["data"]))) if whole else []
    show(findings)
    return ResourceError.exit_code if any(finding.state == "missing" for finding in findings) else 0


def show(findings: list[Finding]) -> None:
    """Print the findings as a table without lines."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": ("ok", "green"), "note": ("--", "yellow"), "missing": ("!!", "bold red")}
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        table.add_row(Text(*marks[finding.state]), finding.subject, Text(finding.text))
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    missing = sum(finding.state == "missing" for finding in findings)
    console.print(f"\n{missing} needed things are missing (!!)." if missing else "\nNothing needed is missing.")


def packages() -> Iterator[Finding]:
    """Compare what is installed with the bounds in pyproject.toml; nothing is imported for it."""
    from packaging.requirements import Requirement

    good = []
    for line in requirements():
        requirement = Requirement(line)
        extra = _extra(requirement)
        if requirement.marker is not None and not extra and not requirement.marker.evaluate():
            continue
        if extra == "dev":
            continue
        name, version = requirement.name, _version(requirement.name)
        if not version:
            need = f"pip install '{name}{requirement.specifier}'"
            told = (
                f"not installed; only for the extra: pip install 'lungseg[{extra}]'"
                if extra
                else f"not installed; {need}"
            )
            yield Finding("note" if extra else "missing", name, told)
        elif version in MALICIOUS.get(name, ()):
            yield malicious(name, version)
        elif version not in requirement.specifier:
            told = f"{version} is outside {requirement.specifier}; pip install '{name}{requirement.specifier}'"
            yield Finding("note" if extra else "missing", name, told)
        else:
            good.append(f"{name} {version}")
    for name, versions in MALICIOUS.items():  # also where it came along with another package
        if name not in {Requirement(line).name for line in requirements()}:
            installed = _version(name)
            if installed in versions:
                yield malicious(name, installed)
    first = [text for text in good if text.partition(" ")[0] in TOLD]
    more = f" and {len(good) - len(first)} more" if len(good) > len(first) else ""
    yield Finding("ok", "packages", f"{', '.join(first)}{more}, all as pyproject.toml wants them")


def malicious(name: str, version: str) -> Finding:
    """Say what to do about a version that was uploaded by thieves."""
    text = (
        f"{version} is a malicious upload that steals credentials (GHSA-w37p-236h-pfx3). Do not run anything with it: "
        f"remove this environment, change every password and token of this machine, and install '{name}!=2.6.2,!=2.6.3'"
    )
    return Finding("missing", name, text)


def requirements() -> list[str]:
    """Return the requirements as installed, or those of pyproject.toml in a clone that is not installed."""
    try:
        return metadata.requires("lungseg") or []
    except metadata.PackageNotFoundError:
        import tomllib

        file = config_dir().parent / "pyproject.toml"
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.is_file() else {}
        return list(project.get("dependencies", []))


def _extra(requirement: Any) -> str | None:
    """Return the name of the extra a requirement belongs to."""
    parts = str(requirement.marker or "").replace("'", '"').split('extra == "')
    return parts[1].partition('"')[0] if len(parts) > 1 else None


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def devices() -> Iterator[Finding]:
    """Say what can compute, and whether in bfloat16."""
    import psutil
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    yield Finding("ok", "processor", f"{cores} cores, {memory:.0f} GiB of memory, bf16: {_processor_bf16()}")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            bf16 = "yes" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
            text = f"cuda:{number} {properties.name}, {properties.total_memory / 2**30:.0f} GiB, bf16: {bf16}"
            yield Finding("ok", "GPU", text)
    elif torch.backends.mps.is_available():
        yield Finding("ok", "GPU", "mps (Apple)")
    else:
        yield Finding("note", "GPU", "none; size=small trains on a processor in minutes")


def _processor_bf16() -> str:
    """Say whether the processor computes in bfloat16 or merely imitates it."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return "unknown"
    flags = cpuinfo.read_text(encoding="utf-8", errors="replace")
    return "yes" if "avx512_bf16" in flags or "amx_bf16" in flags or " bf16" in flags else "no (slower than 32-bit)"


def disk(outputs: Path) -> Iterator[Finding]:
    """Say how much room there is where runs are written, and whether one may write there."""
    place = outputs.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        yield Finding("missing", "outputs", f"{outputs} cannot be written; set paths.outputs to a folder that can")
        return
    free = shutil.disk_usage(place).free / 2**30
    text = f"{free:.1f} GiB free in {outputs}"
    if free < NEEDED_GIB:
        yield Finding("missing", "outputs", f"{text}; {NEEDED_GIB:.0f} is needed: set paths.outputs to another disk")
    elif free < ADVISED_GIB:
        yield Finding("note", "outputs", f"{text}; the stores of larger sets need {ADVISED_GIB:.0f} or more")
    else:
        yield Finding("ok", "outputs", text)


def shared_memory(place: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Say whether loader processes have room to hand over batches."""
    if not place.is_dir():
        return
    size = shutil.disk_usage(place).total / 2**30
    text = f"{size:.2f} GiB in {place}"
    if size < SHARED_MEMORY_GIB:
        yield Finding(
            "note", "shared memory", f"{text}; keep data.num_workers=0, or start containers with --shm-size=2g"
        )
    else:
        yield Finding("ok", "shared memory", text)


def browser() -> Iterator[Finding]:
    """Say whether reports can be opened without a screen; only tests do."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found:
        yield Finding("ok", "Chromium", found)
    else:
        yield Finding("note", "Chromium", "not found; reports are written all the same, only their test skips")


def data(folder: Path) -> Iterator[Finding]:
    """Say which of the published sets lie below the data folder."""
    given = "LUNGSEG_DATA" if os.environ.get("LUNGSEG_DATA") else "paths.data"
    try:
        there = folder.is_dir()
    except LungsegError as error:  # a URL
        yield Finding("note", "data", f"{given}={folder}: {error}")
        return
    if not there:
        text = f"{given}={folder} is not there; set LUNGSEG_DATA to the folder of your data sets (phantom needs none)"
        yield Finding("note", "data", text)
        return
    yield Finding("ok", "data", f"{given}={folder}")
    for name, source in sources(folder).items():
        try:
            yield Finding("ok", f"  {name}", str(source.find()))
        except LungsegError as error:
            lines = str(error).splitlines()
            several = [line.strip() for line in lines[1:] if ".root=" in line]
            if several:
                yield Finding("note", f"  {name}", f"found {len(several)} times; choose one: " + "  ".join(several))
            else:
                yield Finding("note", f"  {name}", f"not found. {source.home.strip().splitlines()[0]}")


def sources(search: Path) -> dict[str, Any]:
    """Build every source of the shipped data configurations that is found by the name of its folder."""
    import yaml

    found: dict[str, Any] = {}
    for file in sorted((config_dir() / "data").glob("*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for name, node in (content.get("sources") or {}).items():
            module, _, cls = str((node or {}).get("_target_", "")).rpartition(".")
            if module and "search" in node:
                kind = getattr(importlib.import_module(module), cls)
                if kind.folder_names:
                    found.setdefault(name, kind(search=str(search)))
    return found
