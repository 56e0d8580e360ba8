"""Transposed convolution that doubles the size, cut as Keras cuts it."""

from __future__ import annotations

from torch import Tensor, nn


class SameConvTranspose(nn.ConvTranspose2d):
    """Transposed convolution of stride 2 whose result has exactly twice the height and width.

    Without padding, row i of the input is spread over rows 2 i ... 2 i + k - 1, which makes 2 H + k - 2 rows. Keras's
    padding "same" takes (k - 2) // 2 of the surplus away at the top and left, the rest at the bottom and right: for
    k = 3 nothing and one. torch's `padding=1, output_padding=1` has the same size, but lies one pixel further up and
    left.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        kernel: k, at least 2.

    Shape:
        (B, in_channels, H, W) -> (B, out_channels, 2 H, 2 W).

    Source:
        TensorFlow defines it as the gradient of a "same" convolution of stride 2 (`tf.nn.conv2d_transpose`).
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 3) -> None:
        if kernel < 2:
            msg = f"kernel={kernel} must be at least 2, or every second pixel would stay empty"
            raise ValueError(msg)
        super().__init__(in_channels, out_channels, kernel, stride=2)
        self.before = (kernel - 2) // 2

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the output size is not a choice here
        """Return the doubled features."""
        height, width = x.shape[-2:]
        full = super().forward(x)
        return full[..., self.before : self.before + 2 * height, self.before : self.before + 2 * width]
