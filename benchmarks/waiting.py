"""How OpenMP threads should wait: a training step with threads that spin against threads that sleep, every core busy.

`lungseg/__init__.py` sets OMP_WAIT_POLICY=PASSIVE because of this. One process per core keeps the machine busy while
steps of a small ResUNet run in child processes that differ in the policy only. Wall time, since that is what spinning
costs; the pairs are interleaved.
"""

from __future__ import annotations

import os
import subprocess
import sys

from paired import arguments, paired, report

STEP = """
import time, torch
from lungseg.models.resunet import ResUNet
net = ResUNet(features=(16, 32, 64)); image = torch.rand(2, 1, 64, 64)
def step():
    net(image).square().mean().backward()
step()
start = time.perf_counter()
for _ in range(5): step()
print((time.perf_counter() - start) / 5)
"""


def seconds_per_step(spins: str) -> float:
    """Run a child process whose threads turn that many times before they sleep."""
    env = {**os.environ, "GOMP_SPINCOUNT": spins}
    env.pop("OMP_NUM_THREADS", None)
    done = subprocess.run([sys.executable, "-c", STEP], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> int:
    parser = arguments(__doc__ or "")
    chosen = parser.parse_args()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        result = paired(
            "step with threads that spin (libgomp's default) / with threads that sleep, every core busy",
            lambda: seconds_per_step("300000"),
            lambda: seconds_per_step("0"),
            pairs=chosen.pairs,
            unit="wall ms per step",
            goal=(">=", 1.0),
        )
    finally:
        for process in busy:
            process.kill()
    return report([result], chosen.out)


if __name__ == "__main__":
    sys.exit(main())
