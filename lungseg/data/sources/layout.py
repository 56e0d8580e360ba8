"""Looking for folders and listing image files, without reading them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lungseg.errors import DataError, first_five
from lungseg.remote.path import RemotePath

IMAGE_SUFFIXES: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".img")
SEARCH_DEPTH = 3
_SKIPPED = frozenset({"__macosx", "__pycache__"})


def subfolders(folder: Path) -> list[Path]:
    """Folders directly inside `folder`, sorted; hidden ones and unpacking leftovers are left out."""
    try:
        if isinstance(folder, RemotePath):
            names = [name for name in folder.names(folders=True) if not name.startswith(".")]
        else:
            with os.scandir(folder) as entries:
                names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError as error:
        msg = f"the folder {folder} cannot be listed ({error}); check its permissions"
        raise DataError(msg) from error
    return [folder / name for name in sorted(names) if name.lower() not in _SKIPPED]


def candidates(folder: Path, names: Iterable[str], *, named: bool) -> Iterator[Path]:
    """Folders that may be the top of a set: `folder` itself, those named so below it, and folders inside them.

    Args:
        folder: Where to begin.
        names: Folder names of the set, compared without case.
        named: True = `folder` is known to belong to the set, so that the names do not matter.

    Yields:
        Folders to a depth of three below `folder`.
    """
    wanted = {name.lower() for name in names}
    inside = named or folder.resolve().name.lower() in wanted
    if not inside:
        yield folder
    yield from _walk(folder, wanted, inside, SEARCH_DEPTH)


def _walk(folder: Path, wanted: set[str], inside: bool, depth: int) -> Iterator[Path]:
    if inside:
        yield folder
    if depth == 0:
        return
    for child in subfolders(folder):
        yield from _walk(child, wanted, inside or child.name.lower() in wanted, depth - 1)


def child(folder: Path, *names: str) -> Path | None:
    """The first folder inside `folder` that bears one of `names`, compared without case; "." is `folder` itself.

    A name may hold slashes: `child(folder, "fold1/masks")`.
    """
    for name in names:
        if name == ".":
            return folder
        here: Path | None = folder
        for part in name.split("/"):
            if here is None or not here.is_dir():
                here = None
                break
            exact = here / part
            if exact.is_dir():
                here = exact
            else:
                here = next((path for path in subfolders(here) if path.name.lower() == part.lower()), None)
        if here is not None:
            return here
    return None


def list_files(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES, *, recursive: bool = False) -> list[Path]:
    """Files with one of `suffixes` (compared without case), sorted by path; hidden files are left out.

    Raises:
        DataError: The folder cannot be listed.
    """
    wanted = tuple(suffix.lower() for suffix in suffixes)
    found: list[Path] = []
    if isinstance(folder, RemotePath):
        return _list_remote(folder, wanted, recursive=recursive)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name.lower().endswith(wanted) and entry.is_file():
                    found.append(folder / entry.name)
    except OSError as error:
        msg = f"the folder {folder} cannot be listed ({error}); check its name and permissions"
        raise DataError(msg) from error
    if recursive:
        for inner in subfolders(folder):
            found.extend(list_files(inner, wanted, recursive=True))
    return sorted(found)


def _list_remote(folder: RemotePath, wanted: tuple[str, ...], *, recursive: bool) -> list[Path]:
    """The same of a remote folder, whose content is asked for in one go."""
    if recursive:
        folder.list_below()
    found: list[Path] = []
    waiting: list[Path] = [folder]
    while waiting:
        here = waiting.pop()
        try:
            names = here.names(folders=False) if isinstance(here, RemotePath) else []
        except FileNotFoundError as error:
            msg = f"the folder {here} cannot be listed ({error.strerror}); check its name"
            raise DataError(msg) from error
        found.extend(here / name for name in names if not name.startswith(".") and name.lower().endswith(wanted))
        waiting += subfolders(here) if recursive else []
    return sorted(found)


def by_stem(files: Iterable[Path], *, what: str) -> dict[str, Path]:
    """File name without ending -> file.

    Args:
        files: Files to key.
        what: What the files are, for the message.

    Raises:
        DataError: Two files have the same stem, so that one sample would have two of them.
    """
    found: dict[str, Path] = {}
    twice: list[str] = []
    for file in files:
        if file.stem in found:
            twice.append(f"{found[file.stem]} and {file.name}")
        found[file.stem] = file
    if twice:
        msg = (
            f"{len(twice)} {what} share their name: {first_five(twice)}. Names without ending must be unique: "
            "remove or rename one of each"
        )
        raise DataError(msg)
    return found


def common_root(*folders: Path) -> Path:
    """The nearest folder that holds all of `folders`, so that every path of a row is relative to one root.

    Raises:
        DataError: There is none: some are remote, and others local or elsewhere.
    """
    if not any(isinstance(folder, RemotePath) for folder in folders):
        return Path(os.path.commonpath([folder.absolute() for folder in folders]))
    first = folders[0].absolute()
    for top in (first, *first.parents):
        whole = isinstance(top, RemotePath) and len(top.parts) > 1
        if whole and all(isinstance(folder, RemotePath) and folder.is_relative_to(top) for folder in folders):
            return top
    msg = (
        f"{' and '.join(map(str, folders))} have no folder in common; radiographs and masks of a set must lie in one "
        "container, or all on this machine"
    )
    raise DataError(msg)


def relative(path: Path, root: Path) -> str:
    """`path` below `root`, with forward slashes."""
    return path.absolute().relative_to(root).as_posix()
