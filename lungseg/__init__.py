"""lungseg: lung segmentation and lung-disease classification on chest X-rays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# albumentations asks a package registry for a newer version when it is imported; nothing here may touch the network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# OpenMP threads that wait by spinning take the core from the thread they wait for: beside other work, a training step
# took 1.9 times as long (benchmarks/waiting.py). Read by libgomp when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lungseg.build import predictor as load
    from lungseg.predictor import Predictor

__all__ = ["Predictor", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import what needs torch only when it is asked for."""
    if name == "load":
        from lungseg.build import predictor

        return predictor
    if name == "Predictor":
        from lungseg.predictor import Predictor

        return Predictor
    msg = f"module 'lungseg' has no attribute {name!r}"
    raise AttributeError(msg)
