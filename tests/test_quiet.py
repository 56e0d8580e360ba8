from __future__ import annotations

import logging
import warnings

import pytest

from lungseg.quiet import silence


@pytest.fixture
def quiet():
    levels = {name: logging.getLogger(name).level for name in ("lightning", "lightning.pytorch", "lightning.fabric")}
    with warnings.catch_warnings():
        silence()
        yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("quiet")
def test_lightning_s_chatter_is_silenced_and_its_warnings_stay():
    log = logging.getLogger("lightning.pytorch")
    assert not log.isEnabledFor(logging.INFO)
    assert log.isEnabledFor(logging.WARNING)


@pytest.mark.usefixtures("quiet")
def test_what_is_meant_to_be_so_warns_nobody():
    warnings.warn("The 'train_dataloader' does not have many workers which may be a bottleneck.", stacklevel=1)
    warnings.warn("Found 6 module(s) in eval mode at the start of training. This may lead to", stacklevel=1)


@pytest.mark.usefixtures("quiet")
def test_other_warnings_come_through():
    with pytest.raises(UserWarning, match="something else"):
        warnings.warn("something else", stacklevel=1)
