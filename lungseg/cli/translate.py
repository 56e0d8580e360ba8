"""Hydra's and OmegaConf's messages in one sentence that names the key, the file and the near name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lungseg.cli import schema
from lungseg.errors import LungsegError, near_name

KINDS = {"Integer": "a whole number", "bool": "true or false", "Boolean": "true or false", "Float": "a number"}
IN_FILE = re.compile(r"In '([^']+)': ")


@dataclass(frozen=True)
class Origin:
    """Tells where a key was set.

    Args:
        verb: whose configuration it is.
        folders: of YAML files, shipped ones first.
        given: keys set on the command line.
        used: gives (package, file) of the files that were composed, in their order.
    """

    verb: str
    folders: Sequence[Path]
    given: Collection[str] = ()
    used: Callable[[], Sequence[tuple[str, Path]]] = list

    def of(self, key: str) -> str:
        """Return " (file, line n)" for the file that set a key last, "" when the command line did or none is found."""
        if any(key == given or key.startswith(f"{given}.") for given in self.given):
            return ""
        for package, file in reversed(self.used()):
            if package and not key.startswith(f"{package}."):
                continue
            parts = (key.removeprefix(f"{package}.") if package else key).split(".")
            number = _line(file.read_text(encoding="utf-8"), parts)
            if number is not None:
                return f" ({self.name(file)}, line {number})"
        return ""

    def asking(self, group: str, choice: str) -> str:
        """Return "file, line n" of a defaults list that asks for a choice of a group, "" when none is found."""
        pattern = re.compile(rf"^\s*-\s.*\b{re.escape(group)}\s*:\s*['\"]?{re.escape(choice)}['\"]?\s*(?:#|$)")
        for folder in reversed(self.folders):
            for file in sorted(folder.rglob("*.yaml")):
                for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                    if pattern.search(line):
                        return f"{self.name(file)}, line {number}"
        return ""

    def name(self, file: Path) -> str:
        """Return the path of a file, from the working folder where it lies below it."""
        try:
            return str(file.relative_to(Path.cwd()))
        except ValueError:
            return str(file)

    def file(self, config: str) -> str:
        """Return the path of a config such as `experiment/phantom`."""
        for folder in self.folders:
            if (folder / f"{config}.yaml").is_file():
                return self.name(folder / f"{config}.yaml")
        return config


def _line(text: str, parts: Sequence[str]) -> int | None:
    """Return the line of a YAML text on which a key stands, None when it does not hold the key."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), None
    for part in parts:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        line, node = next(((key.start_mark.line + 1, value) for key, value in pairs if key.value == part), (None, None))
    return line


def sentence(error: Exception, origin: Origin, line: str | None = None) -> str:
    """Put what Hydra or OmegaConf says into a sentence of ours.

    Args:
        error: as it was caught.
        origin: of the keys.
        line: the override that caused it, where there is one.
    """
    if isinstance(error, LungsegError):
        return str(error) if not line or str(error).startswith(line) else f"{line}: {error}"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        place = f"{origin.name(Path(mark.name))}, line {mark.line + 1}: " if mark else ""
        return f"{place}this is no YAML: {error.problem or error.context}"
    text = "\n".join(str(e) for e in (error, error.__cause__) if e is not None)
    start = IN_FILE.search(text)
    where = origin.file(start.group(1)) if start else ""
    prefix = f"{line}: " if line else (f"{where}: " if "." in where else "")
    bad_key = re.search(r"Key '([^']+)' (?:is )?not in '(\w+)'(?:.|\n)*?full_key: (\S+)", text)
    if bad_key:
        return prefix + _no_key(bad_key.group(1), bad_key.group(2), bad_key.group(3), origin)
    bad_value = re.search(r"(?:Value|Cannot convert) '(.*?)' .*\n\s*full_key: (\S+)", text)
    if bad_value:
        value, key = bad_value.groups()
        kind = next((told for word, told in KINDS.items() if word in bad_value.group(0)), "of the right type")
        return f"{key}={value} is not {kind}{'' if line else origin.of(key)}"
    missing = re.search(r"Could not (?:find|load) '([^']+?)/([^'/]+)'", text)
    if missing:
        group, choice = missing.groups()
        options = re.search(r"Available options in '[^']+':\n((?:\t.*\n?)+)", text)
        names = [option.strip() for option in options.group(1).splitlines()] if options else []
        near = near_name(choice, names)
        hint = f"; did you mean {near}?" if near else ""
        known = f" There are: {', '.join(names)}" if names else ""
        asks = origin.asking(group, choice)
        return f"{f'{asks}: ' if asks else prefix}there is no {group}={choice}{hint}{known}"
    gone = re.search(r"Could not delete from config\. '([^']+)' does not exist", text)
    if gone:
        return f"{prefix}there is no `{gone.group(1)}` to take out"
    twice = re.search(r"Could not append '([^']+)'", text)
    if twice and "already" in text:
        return f"{prefix}{twice.group(1).partition('=')[0]} is chosen already; leave out the +: {twice.group(1)}"
    unmatched = re.search(r"Could not (override|delete|append) '?([\w/@.]+)", text)
    if unmatched and ("No match" in text or "Did you mean" in text):
        fields = [*schema.names(schema.SCHEMAS[origin.verb].__name__), "experiment", "size", "sweep", "debug", "local"]
        near = near_name(unmatched.group(2), [name for name in fields if name != unmatched.group(2)])
        hint = f"; did you mean `{near}`?" if near else ""
        return f"{prefix}`{unmatched.group(2)}` is no group that {origin.verb} can {unmatched.group(1)} here{hint}"
    lines = [part.strip() for part in IN_FILE.sub("", text).splitlines() if part.strip()]
    key = next((part.partition(":")[2].strip() for part in lines if part.startswith("full_key")), "")
    first = next((part for part in lines if not part.startswith(("full_key", "object_type", "Error merging"))), text)
    named = f"{key}: " if key and key not in first else ""
    return f"{prefix}{named}{first}{origin.of(key) if key and not line else ''}"


def _no_key(key: str, owner: str, full_key: str, origin: Origin) -> str:
    """Say that a typed node has no such key."""
    names = schema.names(owner)
    near = near_name(key, names)
    parent = full_key.rpartition(".")[0]
    place = f"`{parent}`" if parent else origin.verb
    hint = f"; did you mean `{near}`?" if near else (f", which has: {', '.join(names)}" if names else "")
    return f"`{full_key}` is no key of {place}{hint}"
