"""Search good values of some keys: many trainings, each a process of its own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lungseg import config
from lungseg.cli.nodes import shown
from lungseg.cli.problems import raise_all
from lungseg.cli.runs import Outcome, refuse_unwritable, summary
from lungseg.cli.runs import shown as near
from lungseg.errors import ResourceError, Stopped
from lungseg.tuning.plan import make_plan
from lungseg.tuning.search import read_search

log = logging.getLogger(__name__)


def run(cfg: dict[str, Any]) -> int:
    """Run the verb: run the trials that are missing, and write the report.

    Args:
        cfg: the resolved configuration of `tune`; `run` holds the overrides of every trial.

    Returns:
        0, or 1 where trials failed.

    Raises:
        ConfigError: the search does not fit the configuration of its trials, or the folder holds another study.
        ResourceError: Optuna is not installed, or the folder cannot be written.
        Stopped: a signal came; the trials are saved.
    """
    _refuse_wrong_settings(cfg)
    search = read_search(cfg["search"])
    plan = make_plan(search, cfg["run"], config.config_dir(), cfg["config_dirs"], seed=cfg["seed"])
    try:
        from lungseg.tuning.book import Book, driver_name, importance
        from lungseg.tuning.driver import Driver
        from lungseg.tuning.record import keep_settings, write_record
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        msg = "tune needs Optuna, which is not installed: pip install 'lungseg[sweep]'"
        raise ResourceError(msg) from error
    name = str(cfg["name"] or f"{search.name}_{plan.experiment}")
    folder = near(Path(cfg["paths"]["outputs"]) / "tune" / name)
    refuse_unwritable(folder)
    keep_settings(folder, plan.settings())
    book = Book(
        folder, plan.search, seed=plan.seed, epochs=plan.epochs, storage=cfg["storage"], retry=cfg["retry"],
        driver=driver_name(),
    )  # fmt: skip
    driver = Driver(
        plan, book, workers=cfg["workers"], threads=cfg["threads"], gpus=[str(gpu) for gpu in cfg["gpus"] or ()],
        ended=lambda: _quietly(write_record, book, plan),
    )  # fmt: skip
    log.info("study %s: %s, %d trials of %s", folder, plan.search.method, plan.search.trials, plan.experiment)
    try:
        driver.run()
    except Stopped:
        write_record(book, plan)
        raise
    shares = importance(book.study, len(plan.search.objectives), seed=plan.seed)
    record = write_record(book, plan, shares=shares)
    if cfg["report"]:
        from lungseg.report.html import write_tuning_report

        log.info("report: %s", write_tuning_report(folder, folder))
    _tell_best(record, folder)
    others = book.others()
    if others:
        log.info("%d other drivers are still at work on this study; the last one completes the report", others)
    return _tell_failed(record, folder)


def _refuse_wrong_settings(cfg: dict[str, Any]) -> None:
    """Refuse values out of range.

    Raises:
        ConfigError: there are some.
    """
    problems = [
        f"{key}={cfg[key]} is below {least}"
        for key, least in (("workers", 1), ("threads", 1), ("seed", 0))
        if cfg[key] is not None and cfg[key] < least
    ]
    gpus = cfg["gpus"]
    if gpus is not None and (not isinstance(gpus, list) or not gpus):
        problems.append(f"gpus={shown(gpus)} is no list such as [0,1], or ['0,1','2,3'] for two GPUs each")
    name = cfg["name"]
    if name is not None and (not name or name in (".", "..") or "/" in name):
        problems.append(f"name={name} is no name of a folder")
    raise_all(problems)


def _quietly(write: Any, *args: Any) -> None:
    """Write the record between two trials; where it cannot be written, the trials are worth more."""
    try:
        write(*args)
    except OSError as error:
        log.warning("tuning.json could not be written (%s); it is written again after the next trial", error)


def _tell_best(record: dict[str, Any], folder: Path) -> None:
    """Say which trials are best, and how to go on with them."""
    by_number = {trial["number"]: trial for trial in record["trials"]}
    objectives = [objective["name"] for objective in record["objectives"]]
    if not record["best"]:
        log.warning("no trial has finished, so none is best")
        return
    for number in record["best"][:5]:
        trial = by_number[number]
        values = ", ".join(f"{name} {value:.4g}" for name, value in zip(objectives, trial["values"], strict=True))
        params = " ".join(f"{key}={value}" for key, value in trial["params"].items())
        log.info("best: trial %d, %s: %s", number, values, params)
    best = folder / by_number[record["best"][0]]["folder"]
    log.info("test it once: python -m lungseg evaluate checkpoint=%s", best)


def _tell_failed(record: dict[str, Any], folder: Path) -> int:
    """List the trials that failed, with their overrides and the first line of their error; return the exit code."""
    outcomes = [
        Outcome(
            tuple(trial["overrides"]),
            trial["exit_code"] or 1 if trial["state"] == "failed" else 0,
            trial["error"],
            folder / trial["folder"],
        )
        for trial in record["trials"]
    ]
    told = summary(outcomes, "trials")
    if told is None:
        return 0
    log.error("%s\nthe same command does these again, and nothing else", told)
    return 1
