"""The transposed convolution that doubles: where its kernel lands, tap by tap."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lungseg.models.same_conv_transpose import SameConvTranspose


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        # one pixel of 1 at (1, 0): its kernel begins at row 2, column 0, less the (k - 2) // 2 cut off before
        pytest.param(2, [[0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 0, 0], [3, 4, 0, 0]], id="2x2"),
        pytest.param(3, [[0, 0, 0, 0], [0, 0, 0, 0], [1, 2, 3, 0], [4, 5, 6, 0]], id="3x3-loses-its-last-row"),
        pytest.param(4, [[0, 0, 0, 0], [2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0]], id="4x4-loses-one-on-each-side"),
    ],
)
def test_a_pixel_lands_where_keras_puts_it(kernel, expected):
    layer = SameConvTranspose(1, 1, kernel=kernel)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, kernel**2 + 1).view(1, 1, kernel, kernel))
        layer.bias.zero_()
        image = torch.tensor([[[[0.0, 0.0], [1.0, 0.0]]]])
        assert layer(image)[0, 0].tolist() == expected


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [(1, 1), (3, 2)], ids=str)
def test_it_is_the_gradient_of_a_convolution_of_stride_two_that_is_padded_as_tensorflow_pads(kernel, size):
    # which is how tf.nn.conv2d_transpose is defined; k - 2 zeros in all, (k - 2) // 2 of them before
    torch.manual_seed(0)
    layer = SameConvTranspose(3, 4, kernel=kernel).double()
    below = torch.randn(2, 3, *size, dtype=torch.float64)
    fine = torch.zeros(2, 4, 2 * size[0], 2 * size[1], dtype=torch.float64, requires_grad=True)
    before, after = (kernel - 2) // 2, (kernel - 1) // 2
    coarse = F.conv2d(F.pad(fine, (before, after, before, after)), layer.weight, stride=2)
    coarse.backward(below)
    torch.testing.assert_close(layer(below), fine.grad + layer.bias.view(1, 4, 1, 1))


def test_a_kernel_that_leaves_holes_is_refused():
    with pytest.raises(ValueError, match="kernel=1 must be at least 2"):
        SameConvTranspose(1, 1, kernel=1)
