"""One job: a verb run on its configuration, so guarded that what goes wrong is told once and kept in its folder."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungseg.cli.arguments import Request
from lungseg.errors import ConfigError, LungsegError, ResourceError, Stopped
from lungseg.remote.urls import scrubbed

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lungseg.cli.runs import Outcome

STOPS_A_SWEEP = {75, 130}
"""Exit codes of a job that was stopped from outside: the jobs after it are not started."""


@dataclass
class Job:
    """What Hydra calls, once for a run and once for every job of a sweep.

    Args:
        request: the command line.
        outcomes: filled by `start`, by job number.
        has_folder: the verb writes a run folder.
    """

    request: Request
    outcomes: dict[int, Outcome]
    has_folder: bool

    def start(self, cfg: DictConfig) -> int:
        """Run the verb on a composed configuration; never raises but to stop a sweep."""
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        from lungseg.cli.composed import plain
        from lungseg.cli.problems import quoted
        from lungseg.cli.processes import is_watched
        from lungseg.cli.runs import Outcome, record_end, shown
        from lungseg.cli.stopping import hand_on
        from lungseg.remote.path import forget
        from lungseg.run_folder import is_first_process

        hydra_cfg = HydraConfig.get()
        number = 0 if OmegaConf.is_missing(hydra_cfg.job, "num") else int(hydra_cfg.job.num)
        in_sweep = not OmegaConf.is_missing(hydra_cfg.job, "num")
        overrides = [str(line) for line in hydra_cfg.overrides.task]
        folder = shown(Path(hydra_cfg.runtime.output_dir)) if self.has_folder or in_sweep else None
        values = plain(cfg, self.request.verb, str(folder) if folder else None)
        lines = overrides
        if in_sweep and folder is not None:
            outcome = _finished(self.request.verb, folder, overrides)
            if outcome is not None:
                self.outcomes[number] = outcome
                return outcome.exit_code
            if self.request.verb == "train" and (folder / "overrides.yaml").exists():
                values["resume"] = str(folder.absolute())
                lines = [*overrides, f"resume={quoted(values['resume'])}"]
        values["overrides"] = lines
        forget()
        HydraConfig.instance().cfg = None
        where = [f"hydra.run.dir={quoted(str(folder))}"] if folder else []
        flags = [word for path in self.request.config_dirs for word in ("--config-dir", str(path))]
        # what other processes of this job are started with: its own overrides and folder, and no sweep
        words = [self.request.verb, *flags, *lines, *where, "hydra.mode=RUN"]
        code, error = _guarded(self.request.verb, values, folder, words)
        results = values["paths"].get("results") if folder is not None else None
        outcome = Outcome(tuple(overrides), code, error, folder)
        self.outcomes[number] = outcome
        if (code or in_sweep) and folder is not None and os.environ.get("LOCAL_RANK", "0") == "0":
            record_end(folder, self.request.verb, outcome)
        if results and folder is not None and is_first_process() and not is_watched():
            told = send(folder, values["paths"])
            if told is not None and not code:
                self.outcomes[number] = Outcome(
                    tuple(overrides), told.exit_code, f"{type(told).__name__}: {told}", folder
                )
                code = told.exit_code
        if in_sweep and code in STOPS_A_SWEEP:
            hand_on(error)
            raise SystemExit(code)
        return code


def _finished(verb: str, folder: Path, overrides: list[str]) -> Outcome | None:
    """Return how a job of a sweep ended in an earlier sitting, None where it is still to be done.

    A folder that holds another job is an end too: nothing may be written into it.
    """
    from lungseg.cli.runs import Outcome
    from lungseg.cli.sweeps import left

    try:
        found = left(folder, overrides, resumable=verb == "train")
    except ConfigError as error:
        complain(error)
        return Outcome(tuple(overrides), error.exit_code, f"ConfigError: {error}", folder)
    if found != "done":
        return None
    logging.getLogger(__name__).info("%s is done already", folder)
    return Outcome(tuple(overrides), 0, None, folder)


def _guarded(verb: str, values: dict[str, Any], folder: Path | None, words: Sequence[str]) -> tuple[int, str | None]:
    """Run a verb, in several processes where its configuration asks for them.

    Args:
        verb: its name.
        values: its configuration.
        folder: its run folder, None where it has none.
        words: the command line that each of several processes gets.

    Returns:
        The exit code and, if it failed, the message.
    """
    from lungseg.cli import processes
    from lungseg.cli.stopping import go_on, stoppable
    from lungseg.run_folder import is_first_process

    try:
        count = 1 if processes.is_rank() else processes.wanted(values)
        if count > 1:
            return _together(verb, folder, words, count)
        processes.end_with_parent()
        if not is_first_process():
            logging.getLogger().setLevel(logging.ERROR)  # the first process says it
        with stoppable():
            command = importlib.import_module(f"lungseg.commands.{verb}")
            _drop_second_handlers()
            results = values["paths"].get("results") if folder is not None else None
            if results and not processes.is_watched():
                importlib.import_module("lungseg.remote.delivery").check_target(results)
            return int(command.run(values)), None
    except (Stopped, KeyboardInterrupt) as stop:
        text = f"{str(stop) or 'interrupted'}. {go_on(verb, folder)}"
        code = int(getattr(stop, "exit_code", 130))
        if processes.is_watched():
            processes.report(processes.Failure(code, text, time.time()))
        else:
            sys.stderr.write(f"{text}\n")
        return code, text
    except Exception as error:  # a job's fault must not stop the sweep
        known = _known(error, folder)
        _keep_traceback(folder)
        if processes.is_watched():
            text = traceback.format_exc()
            failure = processes.Failure(1, text, time.time(), known=False)
            processes.report(processes.failure_of(known) if known is not None else failure)
        elif known is None:
            traceback.print_exc()
        else:
            complain(known)
        if known is None:
            return 1, f"{type(error).__name__}: {error}"
        return known.exit_code, f"{type(known).__name__}: {known}"


def _together(verb: str, folder: Path | None, words: Sequence[str], count: int) -> tuple[int, str | None]:
    """Run a verb in several processes, and tell what made them fail, once."""
    from lungseg.cli import processes
    from lungseg.cli.runs import correct_end
    from lungseg.cli.stopping import go_on

    failure = processes.run(words, count, go_on=go_on(verb, folder))
    if failure is None:
        return 0, None
    sys.stderr.write(f"{failure.text.rstrip()}\n")
    if folder is not None:
        correct_end(folder, failure.code, failure.text)
    return failure.code, failure.text


def send(folder: Path, paths: Mapping[str, Any], *, recursive: bool = True) -> LungsegError | None:
    """Copy a run folder to `paths.results`, failed runs too; return what went wrong, after telling it."""
    from lungseg.remote.delivery import send_run

    try:
        send_run(folder, Path(paths["outputs"]), str(paths["results"]), recursive=recursive)
    except LungsegError as error:
        complain(error)
        return error
    return None


def _known(error: Exception, folder: Path | None) -> LungsegError | None:
    """Return what an error says to the user, None where it can only be a fault of ours."""
    from lungseg.run_folder import resource_error

    if isinstance(error, LungsegError):
        return error
    if isinstance(error, OSError):
        return resource_error(error, folder or Path.cwd())
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        what = str(error).strip().partition("\n")[0] or "no more memory"
        return ResourceError(
            f"the memory is full ({what}). Take smaller batches (data.batch_size, batch_size of predict and evaluate) "
            "or smaller images (preprocess.steps.resize.size); trainer.accumulate_grad_batches makes up for the first"
        )
    return None


def _drop_second_handlers() -> None:
    """Take away the handlers Lightning adds at import, or every message of its would stand there twice."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()


def _keep_traceback(folder: Path | None) -> None:
    """Write the whole traceback into the log file; the screen shows the sentence."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exc()
    if folder is None:
        return
    try:
        with (folder / "log.txt").open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    except OSError:
        return  # the disk is what failed; the sentence is shown in any case


def complain(error: LungsegError) -> None:
    """Write an error for the user, in red on a terminal."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    name = f"\x1b[31m{type(error).__name__}:\x1b[0m" if colour else f"{type(error).__name__}:"
    sys.stderr.write(f"{name} {scrubbed(str(error))}\n")
