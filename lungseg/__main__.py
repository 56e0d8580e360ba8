"""`python -m lungseg [verb] [overrides]`; `train` when no verb is given.

Only this module and `cli.job` know Hydra's runtime. A command line is checked in full before Hydra makes a folder and
before anything heavy is imported; the verb's module is imported when its job starts.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lungseg import __version__, config
from lungseg.cli.arguments import Request, read
from lungseg.cli.job import STOPS_A_SWEEP, Job, complain, send
from lungseg.errors import ConfigError, LungsegError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from lungseg.cli.composition import Composer


def main(argv: list[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        argv: words after the program's name; those of the process when None.
    """
    try:
        request = read(sys.argv[1:] if argv is None else argv)
        if request.version:
            sys.stdout.write(f"lungseg {__version__}\n")
            return 0
        if request.help is not None:
            from lungseg.cli import help as texts

            text = texts.about(request.help, request.config_dirs) if request.help else None
            sys.stdout.write(text or texts.overview(request.config_dirs))
            return 0
        return run(request)
    except LungsegError as error:
        complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:  # `lungseg --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def run(request: Request) -> int:
    """Check a command line, then hand it to Hydra.

    Raises:
        ConfigError: all that is wrong with it; nothing was made or written.
        ResourceError: the run folder cannot be made.
    """
    conf = config.config_dir()
    if "--shell-completion" in request.flags:
        return _complete(request, conf)
    from lungseg.cli.composition import Composer
    from lungseg.cli.problems import quoted
    from lungseg.cli.runs import new_folder, refuse_unwritable, shown
    from lungseg.cli.sweeps import Sweep, keep
    from lungseg.remote.urls import is_url, local_only, scrubbed

    composer = Composer(request.verb, conf, request.config_dirs, allow_missing=request.shows)
    if request.verb == "tune":
        from lungseg.cli.trials import gathered

        request.overrides = gathered(request, composer)
    lines, folder = _resumed(composer, request)
    given = tuple(line for line in lines if not line.startswith("hydra.sweep.dir="))
    composed, lines = composer.plan(lines, multirun=request.multirun)
    cfg = composed.config
    if request.shows:
        _hydra(request, conf, lines, lambda _: 0)
        return 0
    for key, place in (("hydra.run.dir", composed.run_dir), ("hydra.sweep.dir", composed.sweep_dir)):
        if is_url(place):
            raise ConfigError(scrubbed(local_only(key, str(place))))
    outputs = Path(cfg["paths"]["outputs"])
    job = Job(request, {}, composed.has_folder)
    if composed.multirun:
        if folder is not None or cfg.get("resume"):
            msg = (
                "resume takes up one run, resume=outputs/sweeps/<time>/<number>, or a whole sweep with nothing beside "
                "it, resume=outputs/sweeps/<time>; both without -m"
            )
            raise ConfigError(msg)
        sweep = Path(composed.sweep_dir) if composed.sweep_dir else new_folder(outputs / "sweeps")
        flags = ["--multirun"] if request.multirun else []
        refuse_unwritable(sweep)
        keep(sweep, Sweep(given, request.multirun))
        # submitit asks for this signal when a job's time is up; it is the one by which a training saves itself
        os.environ.setdefault("SUBMITIT_PREEMPT_SIGNAL", "USR1")
        try:
            _hydra(request, conf, [*lines, f"hydra.sweep.dir={quoted(str(sweep))}"], job.start, flags)
        except SystemExit as stop:
            if stop.code not in STOPS_A_SWEEP:
                raise
        code = _after_sweep(job, sweep, report=bool(cfg.get("report")))
        if cfg["paths"].get("results") and job.outcomes:  # the joined report; the runs have been copied one by one
            told = send(sweep, cfg["paths"], recursive=False)
            code = code or (told.exit_code if told is not None else 0)
        return code
    folder = folder or (Path(composed.run_dir) if composed.run_dir else None)
    if folder is None and composed.has_folder:
        _refuse_lone_ranks()
        folder = new_folder(outputs / str(cfg.get("name") or request.verb))
    if folder is not None:
        refuse_unwritable(folder)
    lines = [*lines, f"hydra.run.dir={quoted(str(shown(folder)) if folder else '.')}"]
    _hydra(request, conf, lines, job.start)
    return job.outcomes[0].exit_code if job.outcomes else 1


def _resumed(composer: Composer, request: Request) -> tuple[list[str], Path | None]:
    """Put the overrides of the run that is taken up before those given now; return its folder too.

    A sweep is taken up with its own command line, in its folder.
    """
    from lungseg.cli import sweeps
    from lungseg.cli.problems import quoted
    from lungseg.cli.runs import key_of, newest_unfinished, stored_overrides
    from lungseg.remote.urls import is_url, scrubbed

    given = [line for line in request.overrides if key_of(line) == "resume"]
    if not given or request.shows or not composer.has("resume"):
        return request.overrides, None
    rest = [line for line in request.overrides if key_of(line) != "resume"]
    value = composer.parse(given)[-1].value()
    if value is None:
        return rest, None
    if str(value) == "auto":
        cfg = composer.plan(rest, multirun=request.multirun)[0].config
        folder = newest_unfinished(Path(cfg["paths"]["outputs"]) / str(cfg["name"]), rest)
        if folder is None:
            return rest, None
    elif is_url(str(value)):
        msg = (
            f"resume={scrubbed(str(value))} must be a run folder on this machine; copy the run back into paths.outputs"
        )
        raise ConfigError(msg)
    else:
        folder = Path(str(value)).expanduser()
        sweep = sweeps.stored(folder)
        if sweep is not None:
            if rest or request.multirun:
                msg = f"resume={folder} takes up a sweep as it was: leave out {' '.join(rest) or '-m'}"
                raise ConfigError(msg)
            request.multirun = sweep.multirun
            return [*sweep.overrides, f"hydra.sweep.dir={quoted(str(folder))}"], None
    lines = [*stored_overrides(folder), *rest, f"resume={quoted(str(folder.absolute()))}"]
    return [*lines, "hydra.mode=RUN"], folder


def _refuse_lone_ranks() -> None:
    """Refuse processes started together from outside that would each make a folder of their own.

    Raises:
        ConfigError: they are, and were not told a common folder.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ:
        msg = "several processes were started at once (WORLD_SIZE > 1); give them one folder: hydra.run.dir=outputs/..."
        raise ConfigError(msg)


def _hydra(
    request: Request, conf: Path, lines: list[str], start: Callable[[DictConfig], int], flags: list[str] | None = None
) -> None:
    """Run Hydra's own program on a checked command line."""
    import hydra

    logging.raiseExceptions = False  # on a full disk, each line for log.txt would put a traceback on the screen
    before = sys.argv
    sys.argv = [before[0], *request.flags, *(flags or []), *lines]
    try:
        hydra.main(version_base="1.3", config_path=str(conf), config_name=request.verb)(start)()
    finally:
        sys.argv = before


def _complete(request: Request, conf: Path) -> int:
    """Answer the shell: Hydra's completion, for the verb that stands on the line."""
    from lungseg.cli import schema

    schema.register()
    words = os.environ.get("COMP_LINE", "").split(" ")
    position = next((n for n, word in enumerate(words) if word.rpartition("/")[2] == "lungseg"), 0) + 1
    if position < len(words):
        first = words[position]
        if first in config.verbs() and position + 1 < len(words):
            request.verb = first
            del words[position]
        elif position + 1 == len(words):
            sys.stdout.write(" ".join([*(verb for verb in config.verbs() if verb.startswith(first)), ""]))
        os.environ["COMP_LINE"] = " ".join(["lungseg", *words[position:]])
    sys.argv[0] = "lungseg"  # completion is installed for the console script
    _hydra(request, conf, request.overrides, lambda _: 0)
    return 0


def _after_sweep(job: Job, sweep: Path, *, report: bool) -> int:
    """Write the joined report, say what failed, and return the exit code of a sweep."""
    from lungseg.cli.runs import outcomes_of, summary

    outcomes = [job.outcomes[n] for n in sorted(job.outcomes)] or outcomes_of(sweep)
    done = [outcome.folder for outcome in outcomes if not outcome.exit_code and outcome.folder is not None]
    code = 0
    if report and done:
        try:
            importlib.import_module("lungseg.report.html").write_report(done, sweep)
        except LungsegError as error:
            complain(error)
            code = error.exit_code
        except Exception:  # the runs are worth more than their report
            traceback.print_exc()
            code = 1
    told = summary(outcomes)
    if told is None:
        return code
    again = f"python -m lungseg resume={sweep}" if job.request.verb == "train" else f"the same, hydra.sweep.dir={sweep}"
    sys.stderr.write(f"{told}\nOnly what is missing is done by: {again}\n")
    stops = [outcome.exit_code for outcome in outcomes if outcome.exit_code in STOPS_A_SWEEP]
    return stops[0] if stops else 1


if __name__ == "__main__":
    sys.exit(main())
