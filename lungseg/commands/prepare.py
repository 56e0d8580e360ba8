"""Fill the store: decode and preprocess every radiograph once."""

from __future__ import annotations

import logging
import time
from typing import Any

from lungseg import build
from lungseg.commands.machine import cores, store_progress

log = logging.getLogger(__name__)


def run(cfg: dict[str, Any]) -> int:
    """Run the verb; returns 0, every failure is raised."""
    began = time.monotonic()
    samples, homes, _ = build.table(cfg)
    filled = build.store(cfg, samples, homes, progress=store_progress(), jobs=cfg["jobs"] or cores())
    size = sum(path.stat().st_size for path in filled.folder.iterdir()) / 2**20
    log.info(
        "store %s: %d samples at %dx%d, %.0f MiB, %.1f s",
        filled.folder, len(filled), *filled.size, size, time.monotonic() - began,
    )  # fmt: skip
    return 0
