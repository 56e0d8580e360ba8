"""The convolutional LSTM over rows against a loop written from its equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lungseg.models.conv_lstm import BidirectionalConvLSTM


def convolve(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(W, C) by a 3 x C kernel, zeros around: one column on each side, (C - 1) // 2 channels before, the rest after."""
    width = picture.shape[1]
    before = (width - 1) // 2
    padded = np.pad(picture, ((1, 1), (before, width - 1 - before)))
    return np.array([[(padded[i : i + 3, j : j + width] * kernel).sum() for j in range(width)]
                     for i in range(len(picture))])  # fmt: skip


def hard_sigmoid(z: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(0.2 * z + 0.5, 0), 1)


def by_the_equations(lstm: BidirectionalConvLSTM, image: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
    """(C, H, W) -> (C, H, W), row after row, gate after gate; masks (8, W, C) multiply h before each convolution."""
    k, r, b = (p.detach().double().numpy() for p in (lstm.kernel[:, 0], lstm.recurrent_kernel[:, 0], lstm.bias))
    total = np.zeros(image.shape)
    _, rows, columns = image.shape
    for direction in (0, 1):
        h = c = np.zeros((columns, len(image)))
        for t in range(rows) if direction == 0 else reversed(range(rows)):
            x = image[:, t].T
            z = []
            for gate in range(4 * direction, 4 * direction + 4):
                fed = h if masks is None else h * masks[gate]
                z.append(convolve(x, k[gate]) + convolve(fed, r[gate]) + b[gate])
            i, f, o = (hard_sigmoid(v) for v in z[:3])
            c = f * c + i * np.tanh(z[3])
            h = o * np.tanh(c)
            total[:, t] += h.T
    return total


def lstm_of(width: int, recurrent_dropout: float = 0.1) -> BidirectionalConvLSTM:
    """One whose biases are drawn too, and whose kernels reach the flat ends of the hard sigmoid."""
    torch.manual_seed(3)
    lstm = BidirectionalConvLSTM(width=width, recurrent_dropout=recurrent_dropout)
    with torch.no_grad():
        lstm.bias.normal_()
        lstm.kernel.mul_(3)
    return lstm


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_states_are_those_of_the_equations(width):
    lstm = lstm_of(width).eval()
    image = torch.randn(2, width, 5, 7, dtype=torch.float32)
    expected = np.stack([by_the_equations(lstm, one.double().numpy()) for one in image])
    np.testing.assert_allclose(lstm(image).detach().numpy(), expected, atol=1e-5)


def test_one_dropout_mask_for_each_gate_serves_all_rows():
    lstm = lstm_of(2, recurrent_dropout=0.5)
    image = torch.randn(1, 2, 5, 7)
    torch.manual_seed(4)
    found = lstm(image).detach().numpy()
    torch.manual_seed(4)  # masks come from the global generator, so that the run's seed of a step decides
    masks = F.dropout(torch.ones(1, 8, 7, 2), 0.5)
    assert set(masks.unique().tolist()) == {0.0, 2.0}
    expected = by_the_equations(lstm, image[0].double().numpy(), masks[0].double().numpy())
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_there_are_48_parameters_for_each_channel_and_8_biases(width):
    # 2 directions x 4 gates x (two kernels of 3 x C, and a bias)
    assert sum(p.numel() for p in BidirectionalConvLSTM(width=width).parameters()) == 48 * width + 8


def test_forget_gates_start_open_and_recurrent_kernels_orthogonal():
    lstm = BidirectionalConvLSTM(width=2)
    assert lstm.bias.tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
    for direction in lstm.recurrent_kernel.detach().chunk(2):
        gates = direction.flatten(1)  # (4, 6)
        torch.testing.assert_close(gates @ gates.T, torch.eye(4), atol=1e-6, rtol=0)


def test_input_kernels_are_he_normal():
    torch.manual_seed(0)
    # a kernel sees 3 x 400 values: sqrt(2 / 1200)
    assert BidirectionalConvLSTM(width=400).kernel.std().item() == pytest.approx(0.0408, rel=0.03)


def test_last_row_reaches_the_first_and_the_first_the_last():
    lstm = lstm_of(2).eval()
    image = torch.randn(1, 2, 6, 3, requires_grad=True)
    out = lstm(image)
    first, last = (torch.autograd.grad(out[:, :, row].sum(), image, retain_graph=True)[0] for row in (0, 5))
    assert first[:, :, 5].abs().max() > 0
    assert last[:, :, 0].abs().max() > 0


def test_states_add_up_in_float32_under_bf16():
    lstm = lstm_of(2).eval()
    image = torch.randn(1, 2, 5, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = lstm(image.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), lstm(image), atol=0.05, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_the_dtype_of_the_image_comes_back(dtype):
    assert lstm_of(2).to(dtype)(torch.zeros(1, 2, 3, 3, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"width": 0}, "width=0"), ({"width": 2, "recurrent_dropout": 1.0}, "recurrent_dropout=1.0 is a probability")],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BidirectionalConvLSTM(**arguments)
