"""What reading from URLs costs those who read from this machine: this tree against another, such as the commit before.

Child processes of both trees take turns. `--help` is a whole process's CPU time; indexing JSRT is the CPU time of ten
`Source.index()` after the first, over the radiographs below LUNGSEG_DATA, or below `--data`. A child that imported
fsspec fails.

Usage: git worktree add ../before HEAD~2; python benchmarks/local_paths.py --before ../before [--data <folder>]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from paired import arguments, paired, report

INDEX = """
import logging, sys, time
from lungseg.data.sources.jsrt import JsrtSource
source = JsrtSource(search=sys.argv[1])
source.index()
began = time.process_time()
for _ in range(10):
    source.index()
spent = time.process_time() - began
assert "fsspec" not in sys.modules
print(spent / 10)
"""
HELP = """
import resource, subprocess, sys
words = ["-m", "lungseg", "--help"]
done = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, check=True)
assert " fsspec" not in done.stderr
def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
before = spent()
for _ in range(10):
    subprocess.run([sys.executable, *words], capture_output=True, check=True)
print((spent() - before) / 10)
"""


def cost(tree: Path, code: str, *words: str) -> float:
    """CPU seconds that a child process prints which imports lungseg from `tree`."""
    env = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=env, cwd=tree, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--before", type=Path, required=True, help="the other tree")
    parser.add_argument("--data", default=os.environ.get("LUNGSEG_DATA"), help="folder that holds JSRT")
    chosen = parser.parse_args()
    now, before = Path(__file__).resolve().parents[1], chosen.before.resolve()
    results = [
        paired(
            "python -m lungseg --help, this tree / the other",
            lambda: cost(now, HELP),
            lambda: cost(before, HELP),
            pairs=chosen.pairs,
            unit="CPU-ms per process",
            goal=("<=", 1.05),
        )
    ]
    if chosen.data:
        results.append(
            paired(
                "index of JSRT, this tree / the other",
                lambda: cost(now, INDEX, chosen.data),
                lambda: cost(before, INDEX, chosen.data),
                pairs=chosen.pairs,
                unit="CPU-ms per index",
                goal=("<=", 1.05),
            )
        )
    return report(results, chosen.out)


if __name__ == "__main__":
    sys.exit(main())
