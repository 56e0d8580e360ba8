"""The words of a command line, sorted into verb, overrides and flags; Hydra is not imported for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lungseg import config
from lungseg.errors import ConfigError, near_name

WITH_VALUE = {"--config-dir": "-cd", "--cfg": "-c", "--package": "-p"}
WITHOUT_VALUE = {"--multirun": "-m", "--run": "-r", "--resolve": "", "--hydra-help": "", "--shell-completion": "-sc"}
OURS = {"--help": "-h", "--version": ""}
REFUSED = {
    "--config-name": "the configuration's name is the verb: lungseg evaluate ...",
    "--config-path": "to add YAML files of your own give --config-dir",
    "--experimental-rerun": "to go on with a run give resume=<run folder>",
}


@dataclass
class Request:
    """A command line in its parts.

    Args:
        verb: `train` when none is given.
        overrides: the `key=value` words.
        flags: for Hydra, with their values.
        config_dirs: of `--config-dir`.
        help: about what help is asked: "" for the overview, None when none is asked.
        version: the version is asked.
        multirun: `-m` is given.
        shows: a flag is given that shows something instead of running.
    """

    verb: str = "train"
    overrides: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    config_dirs: list[Path] = field(default_factory=list)
    help: str | None = None
    version: bool = False
    multirun: bool = False
    shows: bool = False


def read(words: list[str]) -> Request:
    """Split a command line into verb, overrides and flags.

    Raises:
        ConfigError: a flag or the verb is not known.
    """
    request = Request()
    long = {short: name for name, short in (WITH_VALUE | WITHOUT_VALUE | OURS | {"--info": "-i"}).items() if short}
    left = list(words)
    bare: list[str] = []
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            (bare if "=" not in word and not word.startswith("~") else request.overrides).append(word)
            continue
        name, equals, value = word.partition("=")
        name = long.get(name, name)
        if name in WITH_VALUE:
            if not equals and not left:
                msg = f"{word} wants a value"
                raise ConfigError(msg)
            value = value if equals else left.pop(0)
            request.flags += [name, value]
            if name == "--config-dir":
                request.config_dirs.append(Path(value).expanduser())
        elif name == "--info":
            known = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}
            request.flags += [name, *([left.pop(0)] if left and left[0] in known else [])]
        elif name in WITHOUT_VALUE:
            request.flags += [name] if name != "--multirun" else []
        elif name not in OURS:
            near = near_name(name, [*WITH_VALUE, *WITHOUT_VALUE, *OURS, "--info"])
            hint = REFUSED.get(name) or (f"did you mean {near}?" if near else "see: lungseg --help")
            msg = f"{word} is no flag; {hint}"
            raise ConfigError(msg)
        request.multirun |= name == "--multirun"
        request.version |= name == "--version"
        if name == "--help":
            request.help = ""
        request.shows |= name in {"--cfg", "--info", "--hydra-help", "--shell-completion"}
    _take_verb(request, bare)
    return request


def _take_verb(request: Request, bare: list[str]) -> None:
    """Find the verb among the words that are no overrides."""
    if bare and bare[0] == "help":
        request.help = bare[1] if len(bare) > 1 else ""
        return
    if request.help == "" and bare:
        request.help = bare[0]
        return
    if bare:
        if bare[0] not in config.verbs():
            raise ConfigError(config.unknown_verb(bare[0]))
        request.verb = bare[0]
    if len(bare) > 1:
        msg = f"`{bare[1]}` is no key=value (the verb is {bare[0]} already)"
        raise ConfigError(msg)
