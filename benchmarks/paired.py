"""Paired runs: A and B in turn, in one process, so that a slow minute of the machine falls on both."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from lungseg.run_folder import environment


def one_thread() -> None:
    """Use one thread everywhere, so that process time is the time of one core."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's linear algebra


def cost(work: Callable[[], int], *, seconds: float = 0.3) -> float:
    """CPU seconds per unit: `work` does some units and returns how many; it is repeated for at least `seconds`."""
    units, start = 0, time.process_time()
    while True:
        units += work()
        spent = time.process_time() - start
        if spent >= seconds:
            return spent / units


def paired(
    metric: str,
    a: Callable[[], float],
    b: Callable[[], float],
    *,
    pairs: int = 7,
    unit: str = "CPU-ms",
    scale: float = 1e3,
    goal: tuple[str, float] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Run A B A B ... and compare.

    Args:
        metric: what is compared, in words: "a / b".
        a: one run of A; returns its cost.
        b: one run of B; returns its cost.
        pairs: how many of each, at least 7.
        unit: of the printed costs.
        scale: from what the runs return to `unit`.
        goal: (">=" or "<=", bound of the ratio).
        more: further facts for the JSON.

    Returns:
        metric, a and b (median costs), ratio = median over pairs of a / b, ci95 = its bootstrap interval.
    """
    if pairs < 7:
        msg = f"pairs={pairs}: at least 7, or the interval means nothing"
        raise ValueError(msg)
    a(), b()  # first runs fill caches
    costs = [(a(), b()) for _ in range(pairs)]
    ratios = [x / y for x, y in costs]
    ratio, ci95 = statistics.median(ratios), interval(ratios)
    return {
        "metric": metric,
        "unit": unit,
        "a": round(scale * statistics.median(x for x, _ in costs), 6),
        "b": round(scale * statistics.median(y for _, y in costs), 6),
        "ratio": round(ratio, 4),
        "ci95": [round(end, 4) for end in ci95],
        "pairs": pairs,
        **verdict(ratio, goal),
        **more,
    }


def interval(values: list[float], *, n_boot: int = 5000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the median."""
    drawn = np.random.default_rng(0).choice(values, (n_boot, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return float(low), float(high)


def verdict(value: float, goal: tuple[str, float] | None) -> dict[str, Any]:
    if goal is None:
        return {}
    sign, bound = goal
    return {"goal": f"{sign} {bound:g}", "met": value >= bound if sign == ">=" else value <= bound}


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pairs", type=int, default=7, help="paired runs of each comparison")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    return parser


def report(results: list[dict[str, Any]], out: Path | None = None) -> int:
    """Print the results as JSON, each with its environment; 1 when a goal was missed."""
    env = {**environment(), "threads": 1}
    text = json.dumps([{**result, "env": env} for result in results], indent=2)
    sys.stdout.write(text + "\n")
    if out is not None:
        out.write_text(text + "\n")
    missed = [result["metric"] for result in results if not result.get("met", True)]
    for name in missed:
        sys.stderr.write(f"goal missed: {name}\n")
    return 1 if missed else 0
