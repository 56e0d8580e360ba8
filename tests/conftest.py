"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: what a change breaks is then told from what was always broken. New ones are looked
# for with HYPOTHESIS_PROFILE=default.
settings.register_profile("lungseg", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lungseg"))

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real radiographs, or a skip that says what is missing."""
    folder = Path(os.environ.get("LUNGSEG_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real radiographs: {folder} is not there (set LUNGSEG_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Give each test process one thread: pytest-xdist already runs one process per core."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill stores in this process: starting two others takes longer than a dozen phantoms."""
    for verb in ("train", "evaluate", "prepare"):
        monkeypatch.setattr(f"lungseg.commands.{verb}.cores", lambda: 1)


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a network trained for two epochs on 12 phantoms, through the real config; do not write to it."""
    from lungseg.commands import train
    from tests.toy import phantom_config

    folder = tmp_path_factory.mktemp("outputs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "cores", lambda: 1)
        train.run(phantom_config("train", folder))
    return folder
