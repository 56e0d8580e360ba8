"""The meta learner: the sheet's parameter counts, where its batch norm stands, what one pixel sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungseg.models.meta_head import MetaHead


@pytest.mark.parametrize(
    ("inputs", "arguments", "count"),
    [
        pytest.param(16, {}, 11_553, id="decoder"),
        pytest.param(16, {"bn": "last"}, 11_361, id="decoder-last"),
        pytest.param(2, {}, 11_105, id="two-maps"),
        pytest.param(2, {"bn": "last"}, 10_913, id="two-maps-last"),
        pytest.param(3, {}, 11_137, id="three-maps"),
        pytest.param(3, {"bn": "last"}, 10_945, id="three-maps-last"),
        pytest.param(2, {"kernel": 3}, 93_537, id="two-maps-3x3"),
        pytest.param(2, {"kernel": 3, "bn": "last"}, 93_345, id="two-maps-3x3-last"),
    ],
)
def test_parameter_count_is_the_sheets(inputs, arguments, count):
    assert sum(p.numel() for p in MetaHead(inputs, 1, **arguments).parameters()) == count


@pytest.mark.parametrize(("bn", "widths"), [("each", [32, 64, 128]), ("last", [128])])
def test_batch_norm_stands_after_each_dense_layer_or_before_the_last_convolution(bn, widths):
    layers = list(MetaHead(2, 1, bn=bn))
    assert [layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d)] == widths
    assert [type(layer) for layer in layers[-5:]] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout2d, nn.Conv2d]


@pytest.mark.parametrize(("kernel", "changed"), [(1, 1), (3, 49)], ids=["1x1", "3x3"])
def test_a_pixel_reaches_as_far_as_the_kernels(kernel, changed):
    # three 3x3 convolutions reach 3 pixels to each side: 7 x 7 = 49; the last is 1x1 in both
    torch.manual_seed(0)
    head = MetaHead(2, 1, kernel=kernel).eval()
    image = torch.randn(1, 2, 11, 11)
    touched = image.clone()
    touched[..., 5, 5] += 10
    assert int((head(image) != head(touched)).sum()) == changed


def test_dropout_is_of_whole_channels_and_can_be_left_out():
    assert {m.p for m in MetaHead(2, 1).modules() if isinstance(m, nn.Dropout2d)} == {0.4}
    assert not [m for m in MetaHead(2, 1, dropout=0.0).modules() if isinstance(m, nn.Dropout2d)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": []}, r"meta_widths=\[\]"),
        ({"widths": [3, 0]}, r"meta_widths=\[3, 0\]"),
        ({"kernel": 2}, r"meta_kernel=2 must be odd"),
        ({"bn": "first"}, r"meta_bn='first' is not one of each, last"),
        ({"dropout": 1.0}, r"meta_dropout=1.0 is a probability"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MetaHead(2, 1, **arguments)
