"""What networks do with their input: grey is repeated, sides are padded by their last row and column."""

from __future__ import annotations

import pytest
import torch

from lungseg.models.inputs import check_channels, prepare


def test_sides_become_multiples_and_repeat_the_last_row_and_column():
    image = torch.arange(6.0).view(1, 1, 2, 3)
    found = prepare(image, 1, 4)
    assert found.shape == (1, 1, 4, 4)
    assert found[0, 0].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]


def test_small_sides_are_padded_to_the_smallest():
    assert prepare(torch.zeros(1, 1, 1, 9), 1, 4, smallest=6).shape == (1, 1, 8, 12)  # 6 -> 8, 9 -> 12


def test_grey_is_repeated():
    image = torch.rand(2, 1, 4, 4)
    assert torch.equal(prepare(image, 3, 4), image.expand(-1, 3, -1, -1))


def test_other_channels_are_refused_with_the_key():
    with pytest.raises(ValueError, match=r"C = 1 or 3 .*model\.in_channels"):
        prepare(torch.zeros(1, 2, 4, 4), 3)


def test_no_channels_are_refused():
    with pytest.raises(ValueError, match="in_channels=0 and num_classes=1"):
        check_channels(0, 1)
