from __future__ import annotations

import pytest
from torch import nn

from lungseg.models.fcn import FCN
from lungseg.models.statistics import slow_statistics


@pytest.mark.parametrize(("steps", "slow"), [(499, True), (500, False)])
def test_keras_s_momentum_needs_500_steps(steps, slow):
    # 500 x 0.01 = 5
    assert (slow_statistics(FCN(n_filters=1), steps) is not None) == slow


def test_it_says_steps_and_the_key():
    said = slow_statistics(FCN(n_filters=1), 350)
    assert "takes some 500 steps" in said
    assert "this training has 350" in said
    assert "model.bn_momentum=0.1" in said


def test_a_momentum_that_is_usual_already_is_no_way_out():
    said = slow_statistics(nn.BatchNorm2d(1, momentum=0.1), 22)
    assert said.endswith("will lag behind. Train longer, or take smaller batches")


def test_the_slowest_of_several_counts():
    net = nn.Sequential(nn.BatchNorm2d(1, momentum=0.1), nn.BatchNorm2d(1, momentum=0.001))
    assert "some 5,000 steps" in slow_statistics(net, 4_999)


@pytest.mark.parametrize(
    "net",
    [nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, track_running_stats=False), nn.BatchNorm2d(1, momentum=None)],
    ids=["no-batch-norm", "no-statistics", "plain-average"],
)
def test_without_decaying_statistics_there_is_nothing_to_say(net):
    assert slow_statistics(net, 1) is None
