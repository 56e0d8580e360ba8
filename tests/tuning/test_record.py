from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs Optuna: pip install 'lungseg[sweep]'")

from lungseg.errors import ConfigError, DataError
from lungseg.tuning.record import SETTINGS, keep_settings


def test_the_same_settings_go_on(tmp_path: Path) -> None:
    settings = {"seed": 0, "model": {"features": (4, 8), "dropout": float("nan")}}
    keep_settings(tmp_path / "a", settings)
    keep_settings(tmp_path / "a", settings)
    assert json.loads((tmp_path / "a" / SETTINGS).read_text())["model"]["features"] == [4, 8]


def test_other_settings_are_refused_by_key_with_the_way_out(tmp_path: Path) -> None:
    keep_settings(tmp_path, {"seed": 0, "model": {"features": [4, 8]}})
    with pytest.raises(ConfigError, match=r"model\.features was \[4,8\] and is \[4,16\].*name=<another name>"):
        keep_settings(tmp_path, {"seed": 0, "model": {"features": [4, 16]}})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_text("{")
    with pytest.raises(DataError, match=r"study\.json cannot be read"):
        keep_settings(tmp_path, {"seed": 0})
