"""Write one report from run folders."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from lungseg.errors import ConfigError
from lungseg.report.finder import WHAT_A_RUN_IS, find_runs
from lungseg.report.html import write_report, write_tuning_report
from lungseg.report.tuning import is_study


def run(cfg: dict[str, Any]) -> int:
    """Run the verb: write report.html and report.md and print where.

    Args:
        cfg: `runs` (a folder, a glob or a list), `output` and `title` (null = chosen here) and `paths.outputs`.

    Returns:
        0; every failure is raised.

    Raises:
        ConfigError: `runs` names no run folder.
        ResourceError: the report cannot be written.
    """
    runs = cfg.get("runs")
    if not runs or runs == "???":
        raise ConfigError(f"runs is not set: {WHAT_A_RUN_IS}. Say which: report runs=outputs/<run>, or runs=[A,B]")
    output = cfg.get("output")
    if isinstance(runs, str) and is_study(study := Path(runs).expanduser()):
        page = write_tuning_report(study, Path(output).expanduser() if output else study, title=cfg.get("title"))
        sys.stdout.write(f"{page}\n")
        return 0
    folders = find_runs(runs)
    if output:
        target = Path(output).expanduser()
    elif len(folders) == 1:
        target = folders[0]
    else:
        target = Path(cfg["paths"]["outputs"]) / "reports" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    path = write_report(folders, target, title=cfg.get("title"))
    sys.stdout.write(f"{path}\n")
    return 0
