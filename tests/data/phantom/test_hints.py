"""What stands outside the lungs and follows the label."""

import pytest

from lungseg.data.phantom.hints import Hints
from lungseg.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "label", "chance"),
    [("usual", "bilateral", 0), ("none", "bilateral", 0), ("mark", "bilateral", 0.8), ("mark", "normal", 0.1)],
)
def test_the_chance_of_a_mark_is_that_of_the_label(kind, label, chance):
    assert Hints(kind=kind, mark_chance=0.8, mark_chance_others=0.1).chance_of_mark(label) == chance


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "marks"}, r"data\.sources\.phantom\.hints=marks: did you mean mark\? It is one of usual, none, mark"),
        ({"mark_label": "viral"}, r"mark_label=viral: It is one of normal, lobar, bilateral"),
        ({"mark_chance": 1.5}, r"mark_chance=1\.5 is a chance: a number from 0 to 1"),
        ({"mark_chance_others": "no"}, r"mark_chance_others=no is a chance"),
        ({"mark_chance": True}, r"mark_chance=True is a chance"),
    ],
)
def test_other_values_are_refused_with_those_there_are(given, said):
    with pytest.raises(ConfigError, match=said):
        Hints(**given)
