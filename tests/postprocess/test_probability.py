from __future__ import annotations

import pytest

from lungseg.errors import ConfigError
from lungseg.postprocess.probability import probability_of


def test_both_ends_are_probabilities():
    assert (probability_of(0, "key"), probability_of(1, "key")) == (0.0, 1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")], ids=str)
def test_anything_else_is_refused_under_its_key(value):
    with pytest.raises(ConfigError, match=rf"postprocess\.steps\.otsu\.guard={value} is a probability"):
        probability_of(value, "postprocess.steps.otsu.guard")
