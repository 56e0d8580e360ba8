"""Where this process keeps copies of remote files, and how large they may grow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30


@dataclass(frozen=True)
class Settings:
    """The cache's place and size.

    Attributes:
        cache: folder of the copies.
        limit: of all copies together, bytes; 0 = none is kept.
    """

    cache: Path
    limit: int


_used: Settings | None = None


def use(paths: Mapping[str, Any]) -> None:
    """Take the `paths` of a configuration for this process.

    Args:
        paths: with `cache` (folder) and `cache_gb` (GiB); what lacks keeps its default.
    """
    global _used
    default = _default()
    gib = paths.get("cache_gb")
    cache = Path(paths["cache"]).expanduser().absolute() if paths.get("cache") else default.cache
    _used = Settings(cache, default.limit if gib is None else int(float(gib) * GIB))


def take(settings: Settings) -> None:
    """Take the settings of the process that started this one."""
    global _used
    _used = settings


def current() -> Settings:
    """Return what is in force: what was taken last, else the defaults."""
    return _used or _default()


def _default() -> Settings:
    return Settings(Path(os.environ.get("LUNGSEG_CACHE", "outputs/cache")).expanduser().absolute(), 20 * GIB)
