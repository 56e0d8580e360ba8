"""Res-CR-Net: residual blocks of dilated separable convolutions at full resolution, and LSTMs over rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lungseg.models.conv_lstm import BidirectionalConvLSTM
from lungseg.models.inputs import check_channels, prepare
from lungseg.models.keras_init import BN_EPS, BN_MOMENTUM, check_bn_momentum, init_as_keras

Mode = Literal["conc", "add"]
SLOPE = 0.1
"""Of every leaky ReLU."""


class ResCRNet(nn.Module):
    r"""Res-CR-Net: a line of residual blocks that all keep the height and width of the image.

    With F = `filters`, S the separable convolution (depthwise k x k with dilation d and no bias, then 1x1 with bias),
    A = LeakyReLU(0.1) after batch norm, and three branches (k, d) = (3, 1), (5, 3), (7, 5):

        branch     B(x) = S(A(S(x)))                                to F channels, nothing after the second S
        stem       y = BN(Conv1x1(x)) + concat of B(x)              in_channels -> 3 F
        CONV RES   y = BN(Conv1x1(x)) + concat of B(A(x))           3 F -> 3 F, `n_conv` times
        head       LeakyReLU(Conv1x1(x))                            3 F -> num_classes, if n_lstm = 0
        LSTM RES   z = LeakyReLU(Conv1x1(x)), y = z + rows(z) + columns(z)      -> num_classes, `n_lstm` times

    with whole channels dropped out (`dropout`) after the stem and every CONV RES block, and rows and columns
    bidirectional convolutional LSTMs (`BidirectionalConvLSTM`). In mode `add` the branches are added, not
    concatenated, and every block has F channels. What comes out are logits: the leaky ReLU before the softmax is the
    paper's. The authors' LSTM block makes another 1x1 shortcut and leaves it unconnected; it is not built here.

    Trainable parameters, and with the running statistics of batch norm; num_classes counts the background:

        1 channel, 2 classes, n_conv=4                       47,189   48,533    the paper's net for radiographs
        1 channel, 2 classes, n_conv=5                       58,309   59,941
        3 channels, 2 classes, n_conv=4                      47,547   48,891
        1 channel, 2 classes, n_conv=4, n_lstm=1             47,397   48,741
        3 channels, 4 classes, n_conv=5, n_lstm=1            59,165   60,797    the count the paper prints

    Weights, batch norm's momentum 0.99 and epsilon 1e-3 are Keras's (`lungseg.models.keras_init`). The authors seed
    every initialiser alike, so that kernels of one shape start equal; here each is drawn by itself.

    Args:
        in_channels: channels the first convolutions see; a grey image is repeated to them.
        num_classes: channels of the logits: K, or K + 1 with the background of a softmax as in the paper.
        n_conv: CONV RES blocks after the stem, >= 0.
        n_lstm: LSTM RES blocks at the end, >= 0.
        filters: F above.
        kernels: sides k of the branches, odd.
        dilations: d of the branches, as many as `kernels`.
        mode: conc or add.
        dropout: probability of dropping a whole channel after a block in training, in [0, 1).
        recurrent_dropout: the same for a value of an LSTM's hidden state, in [0, 1).
        bn_momentum: of all batch norms, in torch's terms (weight of the newest batch). Keras's 0.01 takes hundreds of
            steps to settle; a short run wants 0.1.

    Shape:
        image (B, 1 or in_channels, H, W), any float dtype and any size, without padding
        -> logits (B, num_classes, H, W).

    Raises:
        ValueError: an argument is out of its range, or the image has neither 1 nor `in_channels` channels.

    Source:
        Paper key `res_cr_net`, section 1.3; Abdallah et al. 2020, doi:10.1088/2632-2153/aba8e8.

    Example:
        >>> net = ResCRNet(num_classes=2, n_conv=1, n_lstm=1, filters=4)
        >>> net(torch.zeros(2, 1, 33, 50)).shape
        torch.Size([2, 2, 33, 50])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        n_conv: int = 4,
        n_lstm: int = 0,
        filters: int = 16,
        kernels: Sequence[int] = (3, 5, 7),
        dilations: Sequence[int] = (1, 3, 5),
        mode: Mode = "conc",
        dropout: float = 0.05,
        recurrent_dropout: float = 0.1,
        bn_momentum: float = BN_MOMENTUM,
    ) -> None:
        super().__init__()
        _check_arguments(in_channels, num_classes, n_conv, n_lstm, filters, kernels, dilations, mode, dropout)
        check_bn_momentum(bn_momentum)
        self.in_channels = in_channels
        self.num_classes = num_classes
        width = filters * (len(kernels) if mode == "conc" else 1)
        branches = list(zip(kernels, dilations, strict=True))

        self.blocks = nn.ModuleList(
            _ConvBlock(width if i else in_channels, filters, branches, mode, bn_momentum, stem=i == 0)
            for i in range(n_conv + 1)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.head = (
            nn.Sequential(
                *(_LSTMBlock(num_classes if i else width, num_classes, recurrent_dropout) for i in range(n_lstm))
            )
            if n_lstm
            else nn.Sequential(_Pointwise(width, num_classes), nn.LeakyReLU(SLOPE))
        )
        init_as_keras(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits (B, num_classes, H, W) of an image (B, 1 or in_channels, H, W)."""
        x = prepare(image, self.in_channels)
        for block in self.blocks:
            x = self.dropout(block(x))
        logits: Tensor = self.head(x)
        return logits


class _ConvBlock(nn.Module):
    """Shortcut plus branches; all but the stem normalise and activate the branches' input first."""

    def __init__(
        self,
        in_channels: int,
        filters: int,
        branches: Sequence[tuple[int, int]],
        mode: Mode,
        bn_momentum: float,
        *,
        stem: bool,
    ) -> None:
        super().__init__()
        self.mode = mode
        width = filters * (len(branches) if mode == "conc" else 1)
        self.before: nn.Module = nn.Identity() if stem else _activation(in_channels, bn_momentum)
        self.branches = nn.ModuleList(
            nn.Sequential(
                _SeparableConv(in_channels, filters, kernel, dilation),
                _activation(filters, bn_momentum),
                _SeparableConv(filters, filters, kernel, dilation),
            )
            for kernel, dilation in branches
        )
        self.shortcut = nn.Sequential(_Pointwise(in_channels, width), _batch_norm(width, bn_momentum))

    def forward(self, x: Tensor) -> Tensor:
        active = self.before(x)
        found = [branch(active) for branch in self.branches]
        residual = torch.cat(found, dim=1) if self.mode == "conc" else torch.stack(found).sum(0)
        out: Tensor = residual + self.shortcut(x)
        return out


class _LSTMBlock(nn.Module):
    """Projection to the classes, plus what LSTMs over its rows and over its columns make of it."""

    def __init__(self, in_channels: int, num_classes: int, recurrent_dropout: float) -> None:
        super().__init__()
        self.project = nn.Sequential(_Pointwise(in_channels, num_classes), nn.LeakyReLU(SLOPE))
        self.rows = BidirectionalConvLSTM(width=num_classes, recurrent_dropout=recurrent_dropout)
        self.columns = BidirectionalConvLSTM(width=num_classes, recurrent_dropout=recurrent_dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x)
        out: Tensor = x + self.rows(x) + self.columns(x.mT).mT
        return out


class _SeparableConv(nn.Module):
    """Depthwise k x k without bias, then 1x1 with bias; keeps the size.

    On CPUs, oneDNN is fast at depthwise convolutions only in channels_last and, backward, only without dilation. One
    of dilation d never mixes pixels whose rows or columns differ modulo d, so there the image is cut into d x d
    images of every d-th row and column, which are convolved without dilation and put together again. The products
    are the same; a training step of the whole network takes two thirds of the time that channels_last alone takes,
    and less than a third of the plain form's (8 images of 96 x 112, one thread).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels,
            in_channels,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = _Pointwise(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if not _on_cpu(x):
            out: Tensor = self.pointwise(self.depthwise(x))
            return out
        height, width = x.shape[2:]
        dilation, kernel = self.depthwise.dilation[0], self.depthwise.kernel_size[0]
        x = _cut(x, dilation)
        x = F.conv2d(x, self.depthwise.weight, padding=kernel // 2, groups=x.shape[1])
        return _join(self.pointwise(x), dilation)[..., :height, :width].contiguous(memory_format=torch.channels_last)


class _Pointwise(nn.Conv2d):
    """1x1 convolution; on CPUs one of single rows.

    Where there is one thread, torch sends 1x1 convolutions of fewer than 16 images past oneDNN to a kernel of its own,
    which takes two to four times as long. A pixel does not care whose image its row belongs to.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        if not _on_cpu(x):
            return super().forward(x)
        batch, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch * height, 1, width, channels).permute(0, 3, 1, 2)
        rows = super().forward(rows).permute(0, 2, 3, 1)
        return rows.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


def _on_cpu(x: Tensor) -> bool:
    """Tell whether to compute as is fast on CPUs; an exported network says convolution, wherever it was traced."""
    return x.device.type == "cpu" and not torch.compiler.is_exporting()


def _cut(x: Tensor, step: int) -> Tensor:
    """Cut (B, C, H, W) into (B step^2, C, ceil(H / step), ceil(W / step)), channels_last, zeros beyond the edge."""
    if step == 1:
        return x.contiguous(memory_format=torch.channels_last)
    batch, channels, height, width = x.shape
    x = F.pad(x, (0, -width % step, 0, -height % step)).permute(0, 2, 3, 1)
    rows, columns = x.shape[1] // step, x.shape[2] // step
    x = x.reshape(batch, rows, step, columns, step, channels).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)


def _join(x: Tensor, step: int) -> Tensor:
    """Put together what `_cut` has cut, still with the rows and columns beyond the edge."""
    if step == 1:
        return x
    _, channels, rows, columns = x.shape
    x = x.permute(0, 2, 3, 1).reshape(-1, step, step, rows, columns, channels).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(-1, rows * step, columns * step, channels).permute(0, 3, 1, 2)


def _batch_norm(channels: int, momentum: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=momentum)


def _activation(channels: int, momentum: float) -> nn.Sequential:
    return nn.Sequential(_batch_norm(channels, momentum), nn.LeakyReLU(SLOPE, inplace=True))


def _check_arguments(
    in_channels: int,
    num_classes: int,
    n_conv: int,
    n_lstm: int,
    filters: int,
    kernels: Sequence[int],
    dilations: Sequence[int],
    mode: str,
    dropout: float,
) -> None:
    """Refuse what would fail later with a message about something else."""
    check_channels(in_channels, num_classes)
    if n_conv < 0 or n_lstm < 0 or filters < 1:
        msg = f"n_conv={n_conv} and n_lstm={n_lstm} must be 0 or more, filters={filters} at least 1"
        raise ValueError(msg)
    if not kernels or len(kernels) != len(dilations) or min(dilations) < 1 or any(k < 1 or k % 2 == 0 for k in kernels):
        msg = (
            f"kernels={list(kernels)} and dilations={list(dilations)} must be equally many, the kernels odd and the "
            "dilations at least 1, as in [3, 5, 7] and [1, 3, 5]"
        )
        raise ValueError(msg)
    if mode not in get_args(Mode):
        msg = f"mode={mode!r} is not one of {', '.join(get_args(Mode))}"
        raise ValueError(msg)
    if not 0 <= dropout < 1:
        msg = f"dropout={dropout} is a probability and must be in [0, 1)"
        raise ValueError(msg)
