"""Does the index grow with the data set? Private memory of a million rows against a thousand.

Two processes open a samples table and a store, make the datamodule and draw training batches from it; they differ in
the number of rows only. Memory is USS without file-backed pages (on Linux the anonymous pages of smaps), after the
batches were drawn. The store's pixel files are sparse, so no disk is filled.

Usage: python benchmarks/memory.py [--pairs 7] [--rows 1000000] [--out memory.json]
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from paired import arguments, interval, one_thread, report, verdict

from lungseg.data.augment.affine import Affine
from lungseg.data.datamodule import LungDataModule
from lungseg.data.normalize import Normalize
from lungseg.data.store import Store
from lungseg.data.table import SamplesTable

SIDE = 16
BATCHES = 200
GOAL_MIB = 64


def rows(n: int) -> Iterator[dict[str, Any]]:
    for i in range(n):
        yield {
            "sample_id": f"bench/image_{i:08d}", "subject_id": f"bench/patient_{i // 3:08d}", "source": "bench",
            "image": f"images/{i // 10_000:03d}/image_{i:08d}.png",
            "masks": {"lungs": f"masks/{i // 10_000:03d}/image_{i:08d}.png"}, "label": "normal", "view": "PA",
            "sex": "F", "age": 40.0, "spacing_mm": (0.2, 0.2), "official_split": None,
        }  # fmt: skip


def write(folder: Path, n: int) -> None:
    """Write a table of n rows and a store that holds as many."""
    folder.mkdir()
    SamplesTable.from_rows(rows(n), path=folder / "table.arrow")
    for name in ("grey8.bin", "mask8.bin"):
        with (folder / name).open("wb") as file:
            file.truncate(n * SIDE * SIDE)
    connection = sqlite3.connect(folder / "index.sqlite")
    connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER)")
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("height", SIDE), ("width", SIDE)])
    connection.commit()
    connection.close()


def serve(folder: Path) -> dict[str, float]:
    """Draw batches as training does; return this process's private memory in MiB."""
    one_thread()
    table = SamplesTable.open(folder / "table.arrow")
    n = len(table)
    store = Store(
        folder, structures=("lungs",), rows=np.arange(n), depths=np.full(n, 8, np.uint8), masked=np.ones(n, bool)
    )
    data = LungDataModule(
        table=table, parts=np.full(n, "train"), store=store, sources={}, normalize=Normalize(), augment=Affine()
    )
    data.require("train")
    for i, batch in enumerate(data.train_dataloader()):
        data.on_after_batch_transfer(batch, 0)
        if i == BATCHES:
            break
    process = psutil.Process()
    full = process.memory_full_info()
    anonymous = full.uss
    if sys.platform == "linux":
        rollup = Path("/proc/self/smaps_rollup").read_text()
        anonymous = 1024 * int(next(line for line in rollup.splitlines() if line.startswith("Anonymous:")).split()[1])
    return {"private": anonymous / 2**20, "uss": full.uss / 2**20}


def in_a_process(folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--serve", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--serve", type=Path, help="used inside: serve this folder and print the memory")
    options = parser.parse_args()
    if options.serve is not None:
        sys.stdout.write(json.dumps(serve(options.serve)) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="lungseg-bench-") as work:
        many, few = Path(work) / "many", Path(work) / "few"
        write(many, options.rows)
        write(few, 1_000)
        runs = [(in_a_process(many), in_a_process(few)) for _ in range(options.pairs)]
    a, b = ([run[i]["private"] for run in runs] for i in (0, 1))
    more = [x - y for x, y in zip(a, b, strict=True)]
    grown = statistics.median(more)
    return report(
        [
            {
                "metric": f"private memory of {options.rows} rows / of 1000 rows",
                "unit": "MiB, anonymous pages",
                "a": round(statistics.median(a), 2),
                "b": round(statistics.median(b), 2),
                "ratio": round(statistics.median(x / y for x, y in zip(a, b, strict=True)), 4),
                "ci95": [round(end, 4) for end in interval([x / y for x, y in zip(a, b, strict=True)])],
                "pairs": options.pairs,
                "grown_mib": round(grown, 2),
                "grown_ci95_mib": [round(end, 2) for end in interval(more)],
                "with_file_pages_mib": [round(statistics.median(run[i]["uss"] for run in runs), 1) for i in (0, 1)],
                **verdict(grown, ("<=", GOAL_MIB)),
            }
        ],
        options.out,
    )


if __name__ == "__main__":
    sys.exit(main())
