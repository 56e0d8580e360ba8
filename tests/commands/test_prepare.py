from __future__ import annotations

import logging

import pytest

from lungseg.commands import prepare
from lungseg.data.sources.phantom import PhantomSource
from tests.toy import phantom_config

pytestmark = pytest.mark.usefixtures("one_process")


def test_it_fills_the_store_that_training_then_uses(tmp_path, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        assert prepare.run(phantom_config("prepare", tmp_path / "run")) == 0
    assert "5 samples at 32x32" in caplog.text
    monkeypatch.setattr(PhantomSource, "read_image", lambda *_: pytest.fail("a phantom was drawn again"))
    assert prepare.run(phantom_config("prepare", tmp_path / "run")) == 0


def test_it_makes_no_run_folder(tmp_path):
    prepare.run(phantom_config("prepare", tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
