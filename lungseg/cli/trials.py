"""Overrides on tune's command line that are meant for its trials."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lungseg.cli import schema
from lungseg.cli.arguments import Request
from lungseg.cli.composition import Composer
from lungseg.cli.problems import quoted
from lungseg.cli.runs import key_of
from lungseg.errors import ConfigError

SHARED = {"paths"}
"""Keys that tune and its trials are given alike."""


def gathered(request: Request, composer: Composer) -> list[str]:
    """Return the overrides of `tune`, in which those that it has no key for have become its list `run`.

    Args:
        request: the command line.
        composer: of `tune`.

    Raises:
        ConfigError: the command line asks for a sweep, or to take up a run.
    """
    if request.multirun:
        msg = "tune makes runs of its own and takes no -m; for all combinations give search.method=grid"
        raise ConfigError(msg)
    own, passed, folders = _sorted(request.overrides, composer)
    folders += [str(folder.absolute()) for folder in request.config_dirs]
    lists = {"run": passed, "config_dirs": folders}
    return [*own, *(f"{key}=[{','.join(quoted(text) for text in found)}]" for key, found in lists.items() if found)]


def _sorted(lines: Sequence[str], composer: Composer) -> tuple[list[str], list[str], list[str]]:
    """Return tune's own overrides, those of the trials, and folders of YAML files."""
    roots = set(schema.names("TrainSchema"))
    own: list[str] = []
    passed: list[str] = []
    folders: list[str] = []
    for line in lines:
        key = key_of(line)
        root = re.split(r"[.\[@/]", key)[0]
        if key == "resume":
            msg = "tune takes no resume: the same command goes on with the study, name=... says with which"
            raise ConfigError(msg)
        if key in ("run", "config_dirs"):
            value = composer.parse([line])[0].value()
            given = [str(item) for item in value] if isinstance(value, list) else [str(value)]
            (passed if key == "run" else folders).extend(given)
            continue
        for_trials = root != "hydra" and (root in roots or composer.is_group(root)) and not composer.has(root)
        if not for_trials:
            own.append(line)
        if for_trials or root in SHARED:
            passed.append(line)
    return own, passed, [str(Path(folder).expanduser()) for folder in folders]
