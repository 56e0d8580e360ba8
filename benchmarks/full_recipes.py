"""The papers' rows in full, in parts of a few minutes: each call goes on where the last one stopped.

    python benchmarks/full_recipes.py --minutes 9 --out rows.json trainer=gpu

trains the experiments of `ROWS`, the most telling first, one after the other. When the minutes are over, the running
one is asked to stop; it saves its state and exits with 75, and the next call resumes it (the end is bit-identical to
that of an uninterrupted run). Prints, and writes to --out, one JSON entry per experiment: state, seconds over all
parts, epochs, test figures with their intervals, hardware. Further words are overrides for every experiment.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROWS = (
    "res_cr_net_jms", "unet_mobilenet_v2_mc_sh", "resunet_mc_sh", "res_cr_net_jsrt", "unet_jsrt_structures",
    "res_cr_net_v7", "unet_keras_covid", "fcn_covid", "deeplab_aspp_covid", "unet_mc_sh",
    "unet_inception_resnet_v2_mc_sh", "dual_encoder_mc_sh", "res_cr_net_jms_lstm", "res_cr_net_jsrt_structures",
    "mobilenet_v3_large_kermany", "resnet34_kermany", "efficientnet_b1_kermany", "efficientnet_b1_tl_kermany",
)  # fmt: skip
RESUMABLE = 75
PATIENCE = 60
"""Seconds that a run may take to save its state after it was asked to stop."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="of this call, saving included")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=ROWS, help="experiments: a,b,c")
    parser.add_argument("--outputs", type=Path, default=Path("outputs/full"), help="where the run folders go")
    parser.add_argument("--out", type=Path, help="file for the JSON")
    parser.add_argument("overrides", nargs="*", help="for every experiment, such as trainer=gpu")
    chosen = parser.parse_args()
    until = time.monotonic() + 60 * chosen.minutes - PATIENCE / 2
    states: dict[str, Any] = {}
    for name in chosen.rows:
        states[name] = described(chosen.outputs, name)
        if states[name]["state"] == "done" or time.monotonic() >= until:
            continue
        code = train(name, [*chosen.overrides, f"paths.outputs={chosen.outputs}"], until)
        states[name] = {**described(chosen.outputs, name), "exit_code": code}
    text = json.dumps(states, indent=2)
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text + "\n")
    return 0


def train(name: str, overrides: list[str], until: float) -> int:
    """Begin or resume one experiment; at `until` (monotonic seconds) let it save its state and stop."""
    run = subprocess.Popen(command(name, overrides))
    try:
        return run.wait(max(1.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGTERM)
    try:
        return run.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        run.kill()  # last.ckpt of the last epoch, or of the last ten minutes, is there
        return run.wait()


def command(name: str, overrides: list[str]) -> list[str]:
    return [sys.executable, "-m", "lungseg", f"experiment={name}", "resume=auto", "logger=csv", *overrides]


def described(outputs: Path, name: str) -> dict[str, Any]:
    """What the newest run folder of an experiment says."""
    folders = sorted((outputs / name).glob("*/status.json"))
    if not folders:
        return {"state": "not begun"}
    folder = folders[-1].parent
    status, metrics = read(folder / "status.json"), read(folder / "metrics.json")
    hardware = read(folder / "env.json").get("hardware", {})
    table = folder / "epochs.csv"
    epochs = list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []
    seconds = sorted(float(row["seconds"]) for row in epochs)
    return {
        "state": status.get("state"),
        "seconds": status.get("seconds"),
        "epochs": len(epochs),
        "median_seconds_per_epoch": seconds[len(seconds) // 2] if seconds else None,
        "parts": {part: sets["all"] for part, sets in metrics.get("parts", {}).items()},
        "hardware": {key: hardware.get(key) for key in ("gpu", "cpu", "cores")},
        "folder": str(folder),
    }


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
