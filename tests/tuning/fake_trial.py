"""Stands for `python -m lungseg`: leaves what a training leaves, in milliseconds, and saves when it is asked to stop.

What it does is told by the variable FAKE (JSON): `epochs`, `pause` (seconds of an epoch), `fail` and `diverge` (numbers
of trials), `hang` (numbers that pause for long at their second epoch), `once` (a file, which ends all of these).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

stopped = False


def stop(number: int, frame: object) -> None:
    global stopped
    stopped = True


def main(words: list[str]) -> int:
    signal.signal(signal.SIGTERM, stop)
    told = json.loads(os.environ.get("FAKE", "{}"))
    given = dict(word.split("=", 1) for word in words if "=" in word)
    resumed = "resume" in given
    folder = Path(given.pop("resume", None) or given.pop("hydra.run.dir"))
    folder = Path(str(folder).strip("'"))
    record = folder / "given.json"
    if resumed:
        given = json.loads(record.read_text())
    record.write_text(json.dumps(given))
    (folder / "overrides.yaml").write_text(json.dumps([f"{key}={value}" for key, value in given.items()]))
    with (folder / "starts.txt").open("a") as file:
        file.write(f"{'resumed' if resumed else 'fresh'} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    status(folder, "running", None)
    number, x = int(given["seed"]), float(given["x"])
    mended = Path(told.get("once", "/nowhere")).exists()
    if number in told.get("fail", []) and not mended:
        return status(folder, "failed", 3, f"DataError: image {number} is broken\nsecond line")
    if number in told.get("diverge", []):
        return status(folder, "diverged", 5, "DivergedError: the loss is nan")
    rows = (folder / "epochs.csv").read_text().splitlines()[1:] if resumed and (folder / "epochs.csv").exists() else []
    for epoch in range(len(rows) + 1, told.get("epochs", 3) + 1):
        long = number in told.get("hang", []) and epoch == 2 and not mended
        until = time.monotonic() + (30.0 if long else told.get("pause", 0.0))
        while time.monotonic() < until and not stopped:
            time.sleep(0.005)
        if stopped:
            return status(folder, "interrupted", 75, "stopped by SIGTERM")
        rows.append(f"{epoch},{epoch},0.1,0.5,{1 - (x - 0.3) ** 2 - 0.1 / epoch},{number}")
        waiting = folder / ".epochs.part"
        waiting.write_text("epoch,step,lr,seconds,val/dice,val/loss\n" + "\n".join(rows) + "\n")
        waiting.replace(folder / "epochs.csv")
    (folder / "model.json").write_text(json.dumps({"parameters": 10 * number, "macs": 1000 * x}))
    return status(folder, "done", 0)


def status(folder: Path, state: str, code: int | None, error: str | None = None) -> int:
    waiting = folder / ".status.part"
    waiting.write_text(json.dumps({"state": state, "exit_code": code, "error": error, "pid": os.getpid()}))
    waiting.replace(folder / "status.json")
    return code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
