from __future__ import annotations

from pathlib import Path

import pytest

from lungseg.remote import settings


@pytest.fixture(autouse=True)
def _before(monkeypatch):
    monkeypatch.setattr(settings, "_used", None)


def test_place_and_size_come_from_the_configuration(tmp_path):
    settings.use({"cache": str(tmp_path), "cache_gb": 0.5})
    # 0.5 GiB = 2**29
    assert settings.current() == settings.Settings(tmp_path, 2**29)


def test_zero_is_a_size(tmp_path):
    settings.use({"cache": str(tmp_path), "cache_gb": 0})
    assert settings.current().limit == 0


def test_without_a_configuration_the_environment_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("LUNGSEG_CACHE", str(tmp_path))
    assert settings.current() == settings.Settings(tmp_path, 20 * 2**30)
    monkeypatch.delenv("LUNGSEG_CACHE")
    assert settings.current().cache == Path("outputs/cache").absolute()


def test_paths_of_an_older_configuration_keep_the_defaults(monkeypatch, tmp_path):
    monkeypatch.setenv("LUNGSEG_CACHE", str(tmp_path))
    settings.use({"data": "data"})
    assert settings.current() == settings.Settings(tmp_path, 20 * 2**30)


def test_a_worker_takes_those_of_its_parent(tmp_path):
    settings.take(settings.Settings(tmp_path, 7))
    assert settings.current().limit == 7
