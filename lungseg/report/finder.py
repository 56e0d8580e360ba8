"""Find the run folders that a report is asked for."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lungseg.errors import ConfigError, first_five, near_name

MARK = "status.json"
DEPTH = 3
WHAT_A_RUN_IS = (
    "a run folder is what train, evaluate or predict leaves under outputs/ (it holds status.json, config.yaml and, "
    "once evaluated, metrics.json)"
)


def find_runs(runs: str | Path | Sequence[str | Path]) -> list[Path]:
    """Turn what `runs=` says into run folders, in the order given and each once.

    Args:
        runs: a run folder; a folder that holds run folders down to three levels, such as a sweep; a glob; or a list
            of these.

    Returns:
        Folders that hold a status.json. Inside a sweep or a glob they are in natural order (2 before 10).

    Raises:
        ConfigError: something named is not there, holds no run, or nothing is named.
    """
    items = [runs] if isinstance(runs, str | Path) else list(runs)
    if not items or any(not str(item) for item in items):
        raise ConfigError(
            f"runs={runs!r} names no run folder: {WHAT_A_RUN_IS}. Say which: report runs=outputs/<run>, or runs=[A,B]"
        )
    found: dict[Path, Path] = {}
    for item in items:
        for folder in _expand(Path(item).expanduser()):
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def is_run(folder: Path) -> bool:
    """Whether a folder is a run folder, that is, holds a status.json."""
    return (folder / MARK).is_file()


def _expand(path: Path) -> list[Path]:
    if glob.has_magic(str(path)) and not path.exists():
        matches = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))), key=_natural)
        folders = [run for match in matches if match.is_dir() for run in _below(match, DEPTH)]
        if not folders:
            seen = f"it matches {first_five(matches)}" if matches else "nothing matches it"
            raise ConfigError(f"runs={path} finds no run folder ({seen}): {WHAT_A_RUN_IS}")
        return folders
    if not path.exists():
        raise ConfigError(f"runs={path} is not there{_near(path)}: {WHAT_A_RUN_IS}")
    if path.is_file():
        owner = next((parent for parent in path.parents[:2] if is_run(parent)), None)
        hint = f". It lies in the run folder {owner}: runs={owner}" if owner else ""
        raise ConfigError(f"runs={path} is a file, not a folder: {WHAT_A_RUN_IS}{hint}")
    folders = list(_below(path, DEPTH))
    if not folders:
        inside = first_five(sorted(child.name for child in path.iterdir())) or "nothing"
        raise ConfigError(f"runs={path} is not a run folder and holds none (in it: {inside}): {WHAT_A_RUN_IS}")
    return folders


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if is_run(folder):
        yield folder
    elif depth > 0:
        for child in sorted(folder.iterdir(), key=_natural):
            if child.is_dir() and not child.name.startswith("."):
                yield from _below(child, depth - 1)


def _near(path: Path) -> str:
    """Name the nearest folder beside the first part of the path that is missing."""
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    if not missing.parent.is_dir():
        return ""
    names = sorted((child.name for child in missing.parent.iterdir() if child.is_dir()), key=lambda name: name)
    near = near_name(missing.name, names)
    if near:
        return f" (did you mean {missing.parent / near}?)"
    return f" ({missing.parent} holds {first_five(names)})" if names else ""


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(path)) if part]
