"""Checks of a composed configuration against the signatures of its targets and the shipped files of its groups."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lungseg.annotations import mismatch
from lungseg.errors import ConfigError, near_name
from lungseg.signatures import Signature, signature

SPECIAL = frozenset({"_target_", "_partial_", "_convert_", "_recursive_", "_args_"})
OWN = frozenset({"verb", "overrides", "run_dir", "search"})
"""Keys of the program's own, and the search, whose keys are those of other verbs (lungseg.tuning.search checks it)."""
Problem = tuple[str, str]
"""A key, and what is wrong with it: the sentence that the key begins."""


def problems_of(config: Mapping[str, Any], conf: Path) -> Iterator[Problem]:
    """Yield every key of the groups that nothing would read, and every value of the wrong type.

    Args:
        config: composed and resolved.
        conf: folder of the shipped files, whose keys are the legal ones where a node has no `_target_`.
    """
    for key, node in config.items():
        if isinstance(node, dict) and key not in OWN and (conf / key).is_dir():
            yield from _node(node, key, conf)


def _node(node: Mapping[str, Any], path: str, conf: Path) -> Iterator[Problem]:
    """Check one dict of the configuration and those below."""
    if "_target_" in node:
        yield from _target_node(node, path)
    else:
        yield from _plain_node(node, path, conf)
    for key, value in node.items():
        if not isinstance(value, dict) or key in SPECIAL:
            continue
        if "_target_" in node:
            yield from _objects(value, f"{path}.{key}")
        else:
            yield from _node(value, f"{path}.{key}", conf)


def _objects(value: Any, path: str) -> Iterator[Problem]:
    """Check the targets inside an argument; its own keys belong to the class that takes it."""
    if isinstance(value, dict):
        if "_target_" in value:
            yield from _target_node(value, path)
        for key, item in value.items():
            yield from _objects(item, f"{path}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _objects(item, f"{path}.{place}")


def _target_node(node: Mapping[str, Any], path: str) -> Iterator[Problem]:
    target = node["_target_"]
    if target in (None, "???"):
        yield f"{path}._target_", " is not set"
        return
    try:
        found = signature(str(target))
    except ConfigError as error:
        yield f"{path}._target_", f"={error}"
        return
    if found is None:
        return
    for key, value in node.items():
        if key in SPECIAL:
            continue
        argument = found.arguments.get(key)
        if argument is not None:
            wrong = mismatch(argument, value)
            if wrong:
                yield f"{path}.{key}", f"={shown(value)} {wrong}"
        elif not found.is_open or key.startswith("_"):
            yield f"{path}.{key}", no_argument(found, key)


def no_argument(found: Signature, key: str) -> str:
    """Say that a target has no such argument, and which it has."""
    options = [*found.arguments, *(SPECIAL if key.startswith("_") else ())]
    near = near_name(key, options)
    if near:
        return f" is no argument of {found.target}; did you mean `{near}`?"
    has = ", ".join(found.arguments) or "none"
    return f" is no argument of {found.target}, which has: {has}"


def _plain_node(node: Mapping[str, Any], path: str, conf: Path) -> Iterator[Problem]:
    known = shipped_values(conf, path)
    holds_objects = any(isinstance(v, dict) and "_target_" in v for values in known.values() for v in values)
    for key, value in node.items():
        is_object = isinstance(value, dict) and "_target_" in value
        if key not in known:
            if not is_object and known:
                yield f"{path}.{key}", no_key(path, key, known)
            elif not is_object and isinstance(value, dict):
                yield f"{path}.{key}", " has no `_target_`, so there is nothing to build"
            continue
        if is_object or value == "???":
            continue
        if isinstance(value, dict) and holds_objects and _always_object(known[key]):
            yield f"{path}.{key}", " has no `_target_`: the chosen group has no such entry, so nothing is built"
        wrong = _wrong_kind(value, known[key])
        if wrong:
            yield f"{path}.{key}", wrong


def no_key(path: str, key: str, known: Mapping[str, Any]) -> str:
    """Say that a node has no such key, and which it has."""
    near = near_name(key, known)
    if near:
        return f" is no key of `{path}`; did you mean `{near}`?"
    return f" is no key of `{path}`, which has: {', '.join(known)}"


def _always_object(values: list[Any]) -> bool:
    """Say whether the shipped files make an object of this key wherever they set it up."""
    return any(isinstance(value, dict) and "_target_" in value for value in values)


def _wrong_kind(value: Any, shipped: list[Any]) -> str | None:
    """Compare a value's kind with those that the shipped files give the same key."""
    kinds = {_kind(item) for item in shipped}
    kind = _kind(value)
    if kind in kinds or kinds & {"null", "text", "map"} or kind == "map":
        return None
    if kind == "whole number" and "number" in kinds:
        return None
    return f"={shown(value)} is a {kind}, not a {' or '.join(sorted(kinds))} (such as {shipped[0]!r})"


def shown(value: Any) -> str:
    """Write a value as the command line has it.

    Example:
        >>> shown(None), shown([1, "a"]), shown(True)
        ('null', '[1,a]', 'true')
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(shown(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{shown(item)}" for key, item in value.items()) + "}"
    return str(value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    for kind, cls in (("truth value", bool), ("whole number", int), ("number", float), ("list", list), ("map", dict)):
        if isinstance(value, cls):
            return kind
    return "text"


def shipped_values(conf: Path, path: str) -> dict[str, list[Any]]:
    """Return the keys that the shipped files of a group give the node at `path`, with the values they give."""
    group, *rest = path.split(".")
    found: dict[str, list[Any]] = {}
    for content in _group_contents(conf / group).values():
        node: Any = content
        for part in rest:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            for key, value in node.items():
                if key != "defaults" or rest:
                    found.setdefault(str(key), []).append(value)
    return found


def choices_with(conf: Path, path: str) -> list[str]:
    """Return the choices of a group whose shipped files set up the object at `path`."""
    group, *rest = path.split(".")
    found = []
    for choice, content in _group_contents(conf / group).items():
        node: Any = content
        for part in rest:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            found.append(choice)
    return found


@functools.cache
def _group_contents(folder: Path) -> dict[str, Any]:
    """Parse the files of a group, by choice; those with another package say nothing about the group's node."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    contents = {}
    for file in sorted(folder.rglob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        if "@package" not in text.partition("\n")[0]:
            contents[file.relative_to(folder).with_suffix("").as_posix()] = yaml.load(text, Loader=loader)
    return contents
