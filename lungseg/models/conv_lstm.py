"""Convolutional LSTM that reads an image row by row, in both directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.keras_init import he_normal_

_GATES = 4  # input, forget, output, candidate


class BidirectionalConvLSTM(nn.Module):
    r"""Two convolutional LSTMs with one filter each over the rows of an image, one downwards and one upwards.

    Row t of the image is a picture x_t of W x C values (columns x channels) with one channel. With * a convolution by
    a 3 x C kernel over columns and channels, zero padded to keep W x C, and s the hard sigmoid
    s(z) = clip(0.2 z + 0.5, 0, 1):

        i = s(K_i * x_t + R_i * h_{t-1} + b_i)          f, o likewise
        c_t = f c_{t-1} + i tanh(K_c * x_t + R_c * h_{t-1} + b_c)
        h_t = o tanh(c_t)                               h_0 = c_0 = 0

    Each direction has kernels K, R and biases b of its own: 2 (4 (3 C + 3 C) + 4) = 48 C + 8 parameters. The result is
    the sum of h over both directions, at its row. An even C is padded as TensorFlow pads: one value more after the
    channels than before them.

    In training, h_{t-1} is multiplied by a dropout mask before each convolution R: one mask for each gate and image,
    the same for all rows (Gal and Ghahramani 2016, arXiv:1512.05287), drawn from torch's global generator.

    The states are kept in float32 under autocast, since they add up over hundreds of rows.

    Args:
        width: C, channels of the image; the kernels span them all.
        recurrent_dropout: probability of dropping a value of h_{t-1}, in [0, 1).

    Shape:
        (B, C, H, W), any float dtype -> (B, C, H, W), the same dtype.

    Raises:
        ValueError: an argument is out of its range.

    Source:
        Shi et al. 2015, arXiv:1506.04214, eq. 3, without peepholes, as in Keras's Bidirectional(ConvLSTM2D); the
        hard sigmoid, unit forget bias and orthogonal recurrent kernels are that layer's defaults, the `he_normal`
        input kernels are those of paper key `res_cr_net`.
    """

    def __init__(self, *, width: int, recurrent_dropout: float = 0.1) -> None:
        super().__init__()
        if width < 1:
            msg = f"width={width} must be at least 1"
            raise ValueError(msg)
        if not 0 <= recurrent_dropout < 1:
            msg = f"recurrent_dropout={recurrent_dropout} is a probability and must be in [0, 1)"
            raise ValueError(msg)
        self.recurrent_dropout = recurrent_dropout
        self.kernel = nn.Parameter(torch.empty(2 * _GATES, 1, 3, width))  # downwards i, f, o, c, then upwards
        self.recurrent_kernel = nn.Parameter(torch.empty(2 * _GATES, 1, 3, width))
        self.bias = nn.Parameter(torch.empty(2 * _GATES))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: he_normal and orthogonal kernels, biases 0 but for the forget gates' 1."""
        he_normal_(self.kernel, self.kernel[0].numel())
        with torch.no_grad():
            for direction in self.recurrent_kernel.chunk(2):
                nn.init.orthogonal_(direction)  # over the four gates together, each direction on its own
            self.bias.zero_()
            self.bias[1::_GATES] = 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the hidden states (B, C, H, W) of both directions, summed."""
        batch, width, height, _ = x.shape
        rows = x.permute(2, 0, 3, 1)  # (H, B, W, C)
        driven = self._convolve(rows.flatten(0, 1).unsqueeze(1), self.kernel, self.bias)  # of all rows at once
        driven = driven.to(torch.promote_types(driven.dtype, torch.float32))
        driven = driven.view(height, batch, *driven.shape[1:])  # (H, B, 8, W, C)
        driven = torch.cat((driven[:, :, :_GATES], driven[:, :, _GATES:].flip(0)), dim=2)

        h = driven.new_zeros(batch, 2, x.shape[3], width)
        c = torch.zeros_like(h)
        mask = self._dropout_mask(h)
        hidden = []
        for step in driven.unbind():
            fed = h if mask is None else h.repeat_interleave(_GATES, dim=1) * mask
            gates = step + self._convolve(fed, self.recurrent_kernel)
            gates = gates.view(batch, 2, _GATES, *gates.shape[2:])
            opened, candidate = gates[:, :, :3], gates[:, :, 3].tanh()
            i, f, o = opened.mul(0.2).add(0.5).clamp(0, 1).unbind(2)
            c = f * c + i * candidate
            h = o * c.tanh()
            hidden.append(h)
        down, up = torch.stack(hidden).unbind(2)  # (H, B, W, C) each
        return (down + up.flip(0)).permute(1, 3, 0, 2).to(x.dtype)

    def _convolve(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve (B, groups, W, C) with kernels (8, 1, 3, C), C padded as TensorFlow's "same" does."""
        width = kernel.shape[-1]
        out = F.conv2d(x.to(kernel.dtype), kernel, bias, padding=(1, width // 2), groups=x.shape[1])
        return out[..., 1:] if width % 2 == 0 else out  # symmetric padding gives an even width one value too many

    def _dropout_mask(self, h: Tensor) -> Tensor | None:
        """Return what the hidden states are multiplied with, (B, 8, W, C), or None where nothing is dropped."""
        if not self.training or self.recurrent_dropout == 0:
            return None
        return F.dropout(h.new_ones(h.shape[0], 2 * _GATES, *h.shape[2:]), self.recurrent_dropout)
