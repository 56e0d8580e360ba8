"""The help texts, made from the YAML files as text: neither Hydra nor PyTorch is imported."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from lungseg import __version__, config
from lungseg.errors import ConfigError, near_name

WIDTH = 80
HIDDEN = {"hydra", "local"}
TOLD = {"data": "Data sets", "experiment": "Experiments"}
"""Groups whose choices get a line each."""


def overview(config_dirs: Sequence[Path] = ()) -> str:
    """Return the text of `lungseg --help`."""
    folders = [config.config_dir(), *config_dirs]
    groups = {name: choices(name, folders) for name in group_names(folders)}
    text = [f"lungseg {__version__}: lung segmentation on chest X-rays, with honest statistics", ""]
    text += ["Usage: lungseg [verb] [key=value ...]        or: python -m lungseg ...", ""]
    text += [title("Verbs (train when none is given)"), *rows({v: told(f) for v, f in config.verbs().items()}), ""]
    for group, heading in TOLD.items():
        entries = {n: told(f) for n, f in groups.get(group, {}).items() if (group, n) != ("data", "default")}
        if entries:
            text += [title(f"{heading} ({group}=...)"), *rows(entries), ""]
    others = {name: ", ".join(found) for name, found in groups.items() if name not in TOLD and found}
    text += [title("Groups (group=choice)"), *rows(others), ""]
    text += [
        title("Flags"),
        *rows(
            {
                "-m": "run every combination: -m seed=0,1,2 loss=bce,bce_dice",
                "--config-dir my/": "search your own YAML files too, in my/<group>/",
                "--cfg job": "show the configuration instead of running",
                "-sc install=bash": "print the shell completion for eval",
                "--version": "print the version",
            }
        ),
        "",
    ]
    text += [title("More"), *rows({"lungseg help train": "the keys of a verb", "lungseg help model": "a group"})]
    return "\n".join(text) + "\n"


def about(word: str, config_dirs: Sequence[Path] = ()) -> str:
    """Return the help of one verb or one group.

    Raises:
        ConfigError: it is neither.
    """
    folders = [config.config_dir(), *config_dirs]
    if word in config.verbs():
        return _about_verb(word, folders)
    names = group_names(folders)
    if word in names:
        entries = {name: told(file) for name, file in choices(word, folders).items()}
        return "\n".join([title(f"{word}=..."), *rows(entries)]) + "\n"
    near = near_name(word, [*config.verbs(), *names])
    hint = f"; did you mean {near}?" if near else ""
    msg = f"`{word}` is no verb and no group{hint} See: lungseg --help"
    raise ConfigError(msg)


def _about_verb(verb: str, folders: Sequence[Path]) -> str:
    file = config.verbs()[verb]
    keys, groups = root_keys(file)
    needed = "".join(f" {key}=..." for key, (value, _) in keys.items() if value == "???" and key != "name")
    text = [f"{told(file)}", "", f"Usage: lungseg {verb}{needed} [key=value ...]", ""]
    if keys:
        shown = {f"{k}={v}" if v not in {"???", ""} else k: t for k, (v, t) in keys.items()}
        text += [title("Keys"), *rows(shown), ""]
    entries = {}
    for group, choice in groups.items():
        found = [name for name in choices(group, folders) if name != choice]
        more = f"   or: {', '.join(found)}" if found else ""
        entries[f"{group}={choice}"] = more.strip()
    text += [title("Groups"), *rows(entries), ""]
    text += ["Every key of a group, and every argument of the class it builds, can be set too:", ""]
    text += [f"  lungseg {verb} --cfg job{needed}        shows them all"]
    return "\n".join(text) + "\n"


def root_keys(file: Path) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Read a root file as text.

    Returns:
        The keys with (value, comment), and the groups with their default choice.
    """
    keys: dict[str, tuple[str, str]] = {}
    groups: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        group = re.match(r"  - (?:optional )?(\w+): (\w+)", line)
        key = re.match(r"(\w+):\s*(.*?)\s*(?:#\s*(.*))?$", line)
        if group and group.group(1) not in HIDDEN:
            groups[group.group(1)] = group.group(2)
        elif key and key.group(1) != "defaults":
            keys[key.group(1)] = (key.group(2), key.group(3) or "")
    return keys, groups


def group_names(folders: Sequence[Path]) -> list[str]:
    """Return the config groups, in alphabetical order."""
    return sorted({d.name for folder in folders for d in folder.iterdir() if d.is_dir() and d.name[0] != "."} - HIDDEN)


def choices(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the choices of a group and their files; a shipped file comes before a user's of the same name."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted((folder / group).rglob("*.yaml")):
            found.setdefault(file.relative_to(folder / group).with_suffix("").as_posix(), file)
    return found


def told(file: Path) -> str:
    """Return the first comment line of a YAML file, that is, what it says about itself."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            text = line.strip()
            if text.startswith("#") and "@package" not in text:
                return text.lstrip("# ")
            if text and not text.startswith("#"):
                break
    return ""


def rows(entries: dict[str, str]) -> list[str]:
    """Set names and texts in two columns, wrapped at 80 characters."""
    if not entries:
        return []
    column = min(max(len(name) for name in entries), 24) + 4
    lines = []
    for name, text in entries.items():
        start = f"  {name}".ljust(column)
        if len(start) > column - 1 and len(name) + 2 >= column:
            lines.append(start.rstrip())
            start = " " * column
        wrapped = textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * column)
        lines += wrapped or [start.rstrip()]
    return lines


def title(text: str) -> str:
    """Return a heading, bold on a terminal."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text
