"""Overrides to configuration, checked before Hydra runs anything or makes a folder.

Hydra composes; what it would let pass (a mistyped key in a file, `+model.dropot=1`) or refuse without need
(`model.dropout=0.1` where the file does not state it) is decided here, from the signatures of the targets. The loader
behind Hydra's public `compose` is used directly, since that function refuses sweeps and a running Hydra application;
pyproject bounds hydra-core below the next minor version.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from lungseg.cli import schema
from lungseg.cli.composed import Composed, plain
from lungseg.cli.nodes import OWN, SPECIAL, choices_with, no_argument, no_key, problems_of, shipped_values
from lungseg.cli.problems import grammar_problem, quoted, raise_all, split
from lungseg.cli.translate import Origin, sentence
from lungseg.config import check, missing
from lungseg.errors import ConfigError, LungsegError, near_name
from lungseg.signatures import signature

MOST_JOBS = 256
"""Sweeps up to this size are checked job by job; of larger ones every value is checked once."""


class Composer:
    """Composes and checks the configurations of one verb.

    Args:
        verb: name of the root file.
        conf: folder of the shipped files.
        config_dirs: folders of the user, searched too.
        allow_missing: let required keys stand open (`--cfg` only shows the configuration).
    """

    def __init__(
        self, verb: str, conf: Path, config_dirs: Sequence[str | Path] = (), *, allow_missing: bool = False
    ) -> None:
        self.allow_missing = allow_missing
        version.setbase("1.3")
        setup_globals()
        schema.register()
        self.verb = verb
        self.conf = conf
        self.folders = [conf]
        path = create_config_search_path(str(conf))
        for entry in config_dirs:
            folder = Path(entry).expanduser().resolve()
            if not folder.is_dir():
                msg = f"--config-dir {entry}: there is no such folder"
                raise ConfigError(msg)
            self.folders.append(folder)
            path.prepend(provider="command-line", path=f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
        self._loader = ConfigLoaderImpl(path)
        self._parser = OverridesParser.create(config_loader=self._loader)
        self._bases: dict[tuple[str, ...], tuple[DictConfig, DictConfig]] = {}

    def parse(self, lines: Sequence[str]) -> list[Override]:
        """Parse overrides.

        Raises:
            ConfigError: some do not follow the grammar; all are named.
        """
        problems, parsed = [], []
        for line in lines:
            try:
                parsed.append(self._parse_one(line))
            except HydraException as error:
                problems.append(grammar_problem(line, error))
        raise_all(problems)
        return parsed

    def _parse_one(self, line: str) -> Override:
        if "=" not in line and not line.startswith("~"):
            raise HydraException
        try:
            override = self._parser.parse_override(line)
        except HydraException:
            key, _, value = line.partition("=")
            if not value or not Path(value).expanduser().exists():
                raise
            override = self._parser.parse_override(f"{key}={quoted(value)}")  # a path with spaces, brackets or =
        if override.input_line and self._choosable(override) and override.value() is None and not override.is_delete():
            return self._parser.parse_override(f"~{override.get_key_element()}")  # `size=null`: Hydra wants ~size
        return override

    def _choosable(self, override: Override) -> bool:
        return not override.is_sweep_override() and self.is_group(override.key_or_group)

    def is_group(self, key: str) -> bool:
        """Say whether a key names a config group."""
        return any((folder / key).is_dir() for folder in self.folders) and "." not in key

    def choices(self, group: str) -> list[str]:
        """Return the files of a group, by the name that an override gives."""
        found = set()
        for folder in self.folders:
            root = folder / group
            found |= {file.relative_to(root).with_suffix("").as_posix() for file in root.rglob("*.yaml")}
        return sorted(found)

    def compose(self, lines: Sequence[str], run_dir: str | None = None) -> Composed:
        """Compose and check one configuration.

        Raises:
            ConfigError: all that is wrong with it.
        """
        parsed = self.parse(lines)
        raise_all(
            f"{o.input_line} gives several values: add -m to sweep over them, or write a list as "
            f"{o.key_or_group}=[{o.get_value_string()}]"
            for o in parsed
            if o.is_sweep_override()
        )
        return self._compose(parsed, run_dir)

    def _compose(self, parsed: Sequence[Override], run_dir: str | None) -> Composed:
        groups = [o for o in parsed if o.is_hydra_override() or o.package or self._is_choice(o)]
        values = [o for o in parsed if o not in groups]
        raise_all([*self._wrong_choices(groups), *self._wrong_roots(values)])
        lines = [str(o.input_line) for o in groups]
        origin = Origin(self.verb, self.folders, {o.key_or_group for o in values}, lambda: self._used(lines))
        base, hydra = self._base(lines, origin)
        final: dict[int, str] = {}
        problems = []
        for override in values:
            try:
                applied = self._fitted(override, base)
                self._apply(applied, base)
                final[id(override)] = str(applied.input_line)
            except (HydraException, OmegaConfBaseException, LungsegError) as error:
                text = sentence(error, origin, override.input_line)
                open_map = isinstance(override.value(), dict) and not isinstance(error, LungsegError)
                problems.append(text + ("; give the new keys one by one, each with its dots" if open_map else ""))
        raise_all(problems)
        config = self._plain(base, origin, run_dir)
        found = list(problems_of(config, self.conf))
        top = [(k, text) for k, text in found if not any(k.startswith(f"{other}.") for other, _ in found if other != k)]
        raise_all(f"{key}{text}{origin.of(key)}" for key, text in top)
        config["overrides"] = [str(o.input_line) for o in parsed if not o.is_hydra_override()]
        if not self.allow_missing:
            check(config)
        given = {o.key_or_group: str(o.value()) for o in parsed if o.is_hydra_override() and not o.is_sweep_override()}
        return Composed(
            config,
            [final.get(id(o), str(o.input_line)) for o in parsed],
            multirun=hydra.mode == RunMode.MULTIRUN,
            params={str(k): str(v) for k, v in (hydra.sweeper.get("params") or {}).items()},
            has_folder=hydra.runtime.choices["hydra/job_logging"] != "console",
            run_dir=given.get("hydra.run.dir"),
            sweep_dir=given.get("hydra.sweep.dir"),
        )

    def _is_choice(self, override: Override) -> bool:
        return self.is_group(override.key_or_group) and not (
            override.value_type is not None and not override.is_sweep_override() and isinstance(override.value(), dict)
        )

    def _wrong_choices(self, groups: Sequence[Override]) -> Iterator[str]:
        for override in groups:
            if override.is_hydra_override() or override.is_delete():
                continue
            group = override.key_or_group
            if not self.is_group(group):
                yield f"{override.input_line}: {self._no_such_root(group)}"
                continue
            value = override.value()
            for choice in value if isinstance(value, list) else [value]:
                if f"{choice}" not in self.choices(group) and "${" not in f"{choice}":
                    near = near_name(f"{choice}", self.choices(group))
                    hint = f"; did you mean {group}={near}?" if near else "."
                    yield f"{group}={choice}: no such choice{hint} There are: {', '.join(self.choices(group))}"

    def _wrong_roots(self, values: Sequence[Override]) -> Iterator[str]:
        roots = self._roots()
        for override in values:
            root = re.split(r"[.\[]", override.key_or_group)[0]
            if root not in roots:
                yield f"{override.input_line}: {self._no_such_root(root)}"

    def _roots(self) -> list[str]:
        return list(schema.SCHEMAS[self.verb].__dataclass_fields__)

    def _no_such_root(self, name: str) -> str:
        groups = [folder.name for folder in self.conf.iterdir() if folder.is_dir()]
        near = near_name(name, [*self._roots(), *groups])
        hint = f"; did you mean `{near}`?" if near else f"; see: lungseg {self.verb} --help"
        return f"`{name}` is no key or group of {self.verb}{hint}"

    def _base(self, lines: Sequence[str], origin: Origin) -> tuple[DictConfig, DictConfig]:
        """Return a fresh configuration of the group choices alone, and Hydra's own part of it.

        The files are read once per set of choices; Hydra's part is set aside, since copying it would be half the work.
        """
        key = tuple(lines)
        if key not in self._bases:
            try:
                loaded = self._loader.load_configuration(self.verb, list(lines), RunMode.RUN)
            except (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
                raise ConfigError(sentence(error, origin)) from error
            hydra = copy.deepcopy(loaded.hydra)
            with open_dict(loaded):
                del loaded["hydra"]
            self._bases[key] = loaded, hydra
        base, hydra = self._bases[key]
        return copy.deepcopy(base), hydra

    def _used(self, lines: Sequence[str]) -> list[tuple[str, Path]]:
        """Return (package, file) of the files behind a set of group choices, in the order they are merged."""
        try:
            defaults = self._loader.compute_defaults_list(self.verb, list(lines), RunMode.RUN).defaults
        except (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError):
            return []
        found = []
        for entry in defaults:
            files = [folder / f"{entry.config_path}.yaml" for folder in self.folders]
            found += [(entry.package or "", file) for file in files if file.is_file()][:1]
        return found

    def _fitted(self, override: Override, cfg: DictConfig) -> Override:
        """Return the override as Hydra must be given it, `++` before what a constructor takes but no file states.

        Raises:
            ConfigError: nothing would read the key.
        """
        if override.is_delete() or not override.input_line:
            return override
        node: Any = cfg
        parts = [part for part in re.split(r"[.\[\]]+", override.key_or_group) if part]
        for depth, part in enumerate(parts):
            if OmegaConf.is_list(node) and part.isdigit():
                node = OmegaConf.select(node, part)
                continue
            if not OmegaConf.is_dict(node):
                if node is None and depth:
                    return self._into_nothing(override, ".".join(parts[:depth]))
                break
            if part not in node.keys():  # noqa: SIM118  (`in` is False for a key that is still `???`)
                return self._new_key(override, node, parts, depth)
            node = node._get_node(part)
            node = None if node is None or node._is_none() else node
        if override.is_add() or (OmegaConf.is_dict(node) and self.is_group(parts[0]) and not override.is_force_add()):
            # it is there already: set it; a map is merged and judged with the whole
            return self._parser.parse_override(f"++{override.input_line.lstrip('+')}")
        return override

    def _into_nothing(self, override: Override, parent: str) -> Override:
        msg = f"{override.input_line}: `{parent}` is null, so nothing reads `{override.key_or_group}`"
        if self.is_group(parent):
            msg += f"; choose one first: {parent}=<{'|'.join(self.choices(parent))}>"
        elif self.is_group(group := parent.partition(".")[0]) and (there := choices_with(self.conf, parent)):
            msg += f"; there is one in {' and in '.join(f'{group}={choice}' for choice in there)}"
        raise ConfigError(msg)

    def _new_key(self, override: Override, node: DictConfig, parts: list[str], depth: int) -> Override:
        """Decide about a key that the composed files do not have."""
        path, key = ".".join(parts[:depth]), parts[depth]
        line = str(override.input_line)
        bare = line.lstrip("+")
        if not depth:
            raise ConfigError(f"{line}: {self._no_such_root(key)}")
        if "_target_" in node:
            found = signature(str(node._get_node("_target_")))
            if found is not None and key not in found.arguments and key not in SPECIAL and not found.is_open:
                raise ConfigError(f"{line}: `{path}.{key}`{no_argument(found, key)}")
            return self._parser.parse_override(f"++{bare}")
        if not self.is_group(parts[0]) and node._metadata.ref_type is not Any and OmegaConf.get_type(node) is dict:
            return self._parser.parse_override(f"++{bare}")  # an open map of the root, such as paper.reported
        if parts[0] in OWN:  # judged by the verb, which knows what may stand there
            return self._parser.parse_override(f"++{bare}")
        known = shipped_values(self.conf, path)
        value = None if override.is_sweep_override() else override.value()
        if override.is_add() or override.is_force_add() or (isinstance(value, dict) and "_target_" in value):
            return self._parser.parse_override(f"++{bare}")  # judged with the whole: it may complete an object
        if key in known and depth == len(parts) - 1:
            return self._parser.parse_override(f"++{bare}")
        names = [str(name) for name in node]
        raise ConfigError(f"{line}: `{path}.{key}`{no_key(path, key, dict.fromkeys(names))}")

    @staticmethod
    def _apply(override: Override, cfg: DictConfig) -> None:
        ConfigLoaderImpl._apply_overrides_to_config([override], cfg)

    def _plain(self, cfg: DictConfig, origin: Origin, run_dir: str | None) -> dict[str, Any]:
        try:
            if not self.allow_missing:
                raise_all(missing(OmegaConf.to_container(cfg), self.verb))
            return plain(cfg, self.verb, run_dir)
        except OmegaConfBaseException as error:
            raise ConfigError(sentence(error, origin)) from error

    def has(self, key: str) -> bool:
        """Say whether the verb has a root key."""
        return key in self._roots()

    def plan(self, lines: Sequence[str], *, multirun: bool) -> tuple[Composed, list[str]]:
        """Check a run, or every job of a sweep.

        Args:
            lines: the overrides.
            multirun: `-m` is given; a sweep group may switch it on too.

        Returns:
            The run, or the first job; and the overrides as Hydra must be given them.

        Raises:
            ConfigError: all that is wrong.
        """
        params = self._swept_by_group(lines)
        # a sweep group may sweep over experiments, and values may fit these only: judge them within a job
        first = self.compose(self.jobs(lines, params)[0] if multirun or params else lines)
        if not multirun and not first.multirun:
            return first, first.overrides
        return replace(first, multirun=True), self.sweep(lines, first.params)

    def _swept_by_group(self, lines: Sequence[str]) -> dict[str, str]:
        """Return what a sweep group in the overrides sweeps over; {} where there is none, or it cannot be told."""
        chosen = [o for o in self.parse(lines) if self._is_choice(o) and not o.is_sweep_override()]
        try:
            _, hydra = self._base([str(o.input_line) for o in chosen], Origin(self.verb, self.folders, set(), list))
        except ConfigError:
            return {}  # said, with all else that is wrong, when a job is composed
        if hydra.mode != RunMode.MULTIRUN:
            return {}
        return {str(key): str(value) for key, value in (hydra.sweeper.get("params") or {}).items()}

    def jobs(self, lines: Sequence[str], params: dict[str, str]) -> list[list[str]]:
        """Return the overrides of every job of a sweep, in the order of Hydra's sweeper.

        Raises:
            ConfigError: a value cannot be enumerated.
        """
        swept: dict[str, list[str]] = {}
        for override in self.parse([*(f"{key}={value}" for key, value in params.items()), *lines]):
            key = override.get_key_element()
            if not override.is_sweep_override():
                swept[key] = [str(override.input_line)]
            elif override.is_discrete_sweep() and not override.is_hydra_override():
                swept[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            else:
                msg = f"{override.input_line}: this kind of sweep cannot be run; give the values one by one"
                raise ConfigError(msg)
        product = itertools.product(*swept.values())
        return [list(job) for job in product]

    def sweep(self, lines: Sequence[str], params: dict[str, str]) -> list[str]:
        """Check every job of a sweep and return the overrides as Hydra must be given them.

        Raises:
            ConfigError: all that is wrong with any of them.
        """
        jobs = self.jobs(lines, params)
        # every value once first: that finds nearly every mistake, and soon
        apart = [sum(a != b for a, b in zip(job, jobs[0], strict=True)) for job in jobs]
        forced: set[str] = set()
        for batch in (
            [job for job, n in zip(jobs, apart, strict=True) if n <= 1],
            [job for job, n in zip(jobs, apart, strict=True) if n > 1 and len(jobs) <= MOST_JOBS],
        ):
            problems: dict[str, None] = {}
            for job in batch:
                try:
                    composed = self.compose(job)
                except ConfigError as error:
                    problems |= dict.fromkeys(split(error))
                    continue
                forced |= {line.partition("=")[0] for line in composed.overrides if line.startswith("++")}
            raise_all(problems)
        parsed = self.parse(lines)
        if any(self.is_group(key) for key in params) or any(
            o.is_sweep_override() and self._is_choice(o) for o in parsed
        ):
            # Hydra begins with a composition without the swept choices, in which a key of theirs may be missing
            forced |= {f"++{o.key_or_group}" for o in parsed if not (o.is_hydra_override() or self._is_choice(o))}
        return [f"++{line}" if f"++{line.partition('=')[0]}" in forced else line for line in lines]
