from __future__ import annotations

import pytest

from lungseg.data.structures import available, check_structures, paths_for, refuse_missing
from lungseg.errors import ConfigError


def test_lungs_are_the_union_of_both_lungs_where_only_these_are_published():
    assert paths_for({"right_lung": "r", "left_lung": "l", "heart": "h"}, "lungs") == ["r", "l"]


def test_a_published_union_is_preferred_to_its_parts():
    assert paths_for({"lungs": "both", "right_lung": "r", "left_lung": "l"}, "lungs") == ["both"]


@pytest.mark.parametrize("masks", [{}, {"right_lung": "r"}, {"heart": "h"}], ids=["none", "one side", "heart"])
def test_lungs_have_no_path_where_a_part_is_missing(masks):
    assert paths_for(masks, "lungs") == []


def test_available_counts_the_union():
    assert available({"left_lung": "l", "right_lung": "r"}) == ("lungs", "right_lung", "left_lung")


def test_the_error_for_a_missing_structure_says_what_there_is():
    assert "has: lungs" in str(refuse_missing({"lungs": "m"}, "heart"))


@pytest.mark.parametrize(
    ("names", "said"),
    [(["hart"], "'heart'"), ([], "[lungs]"), ("lungs", "[lungs]"), (["lungs", "lungs"], "twice")],
    ids=["near name", "none", "text", "repeated"],
)
def test_names_that_are_no_list_of_structures_are_refused(names, said):
    with pytest.raises(ConfigError, match=r"data\.structures") as caught:
        check_structures(names)
    assert said in str(caught.value)


def test_infection_is_a_structure_and_no_part_of_a_union():
    check_structures(["lungs", "infection"])
    assert available({"infection": "i", "lungs": "m"}) == ("lungs", "infection")
