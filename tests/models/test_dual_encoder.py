"""The dual encoder: the sheet's counts, its fusion, head, frozen encoders and weights."""

from __future__ import annotations

import pytest
import torch
from huggingface_hub import constants
from torch import nn

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.dual_encoder import DualEncoder

SMALL = {
    "mobilenet_alpha": 0.1,
    "inception_alpha": 0.02,
    "inception_blocks": (1, 1, 1),
    "decoder_channels": (8, 8, 8, 8, 4),
    "meta_widths": (4, 6),
}


def built(**arguments) -> DualEncoder:
    with torch.device("meta"):
        return DualEncoder(in_channels=3, **arguments)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_count_is_the_sheets():
    net = built()
    assert count(net) == 67_490_177
    assert count(net.encoders["mobilenet_v2"]) == 2_223_872
    assert count(net.encoders["inception_resnet_v2"]) == 54_306_464
    assert count(net.decoder) == 10_948_288
    assert count(net.head) == 11_553


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"head": "plain"}, 67_478_769, id="plain-head"),
        pytest.param({"meta_bn": "last"}, 67_490_177 - 2 * (32 + 64), id="bn-last"),
        # 8 more weights in each of the three kernels
        pytest.param({"meta_kernel": 3}, 67_490_177 + 8 * (16 * 32 + 32 * 64 + 64 * 128), id="kernel-3"),
    ],
)
def test_options_change_the_head_alone(arguments, expected):
    assert count(built(**arguments)) == expected


def test_one_channel_saves_two_planes_of_both_first_convolutions():
    # 2 x 32 x 9 in each encoder; the image is no skip
    with torch.device("meta"):
        assert count(DualEncoder()) == 67_490_177 - 2 * 576


@pytest.mark.parametrize(
    ("fusion", "channels"),
    [("concat", (80, 216, 352, 1184, 2816)), ("sum", (64, 192, 320, 1088, 1536))],
)
def test_decoder_gets_the_fused_levels(fusion, channels):
    net = built(fusion=fusion)
    seen = []
    net.decoder.register_forward_hook(lambda _m, i, _o: seen.extend(tuple(level.shape[1:]) for level in i[0]))
    net(torch.empty(2, 3, 64, 32, device="meta"))
    assert seen == [
        (3, 64, 32),
        *((c, 64 // 2 ** (i + 1), 32 // 2 ** (i + 1)) for i, c in enumerate(channels)),
    ]


def test_sum_adds_both_projections():
    net = DualEncoder(**SMALL, fusion="sum").eval()
    fuse = net.fusions[0]
    first, second = net.encoders["mobilenet_v2"].channels[0], net.encoders["inception_resnet_v2"].channels[0]
    a, b = torch.randn(1, first, 2, 2), torch.randn(1, second, 2, 2)
    zeros = torch.zeros(1, first, 2, 2), torch.zeros(1, second, 2, 2)
    with torch.no_grad():
        both = fuse(a, b) + fuse(*zeros)  # the biases stand in each of the terms
        torch.testing.assert_close(both, fuse(a, zeros[1]) + fuse(zeros[0], b))


def test_parameters_of_the_sum_are_those_of_its_projections_and_the_narrower_decoder():
    net = built(fusion="sum")
    pairs = [(16, 64), (24, 192), (32, 320), (96, 1088), (1280, 1536)]
    assert count(net.fusions) == sum((a + b) * max(a, b) + 2 * max(a, b) for a, b in pairs)
    # the first convolution of each level but the last loses 9 weights per filter and channel
    lost = 9 * ((1280 + 96) * 256 + 32 * 128 + 24 * 64 + 16 * 32)
    assert count(net.decoder) == 10_948_288 - lost


@pytest.mark.parametrize("size", [(1, 1), (5, 60), (32, 33)], ids=str)
def test_any_size_comes_back(size):
    with torch.no_grad():
        assert DualEncoder(**SMALL, num_classes=2).eval()(torch.rand(1, 1, *size)).shape == (1, 2, *size)


def test_frozen_encoders_keep_weights_and_statistics_in_training():
    net = DualEncoder(**SMALL, freeze_encoders=True).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.rand(2, 1, 64, 64)).square().mean().backward()
    optimizer.step()
    after = net.state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "head"}
    assert net.training
    assert net.head.training
    assert not net.encoders.training


def test_encoders_train_unless_frozen():
    net = DualEncoder(**SMALL)
    assert all(p.requires_grad for p in net.parameters())
    net.eval().train()
    assert net.encoders.training


@pytest.mark.parametrize(
    "names", [("mobilenet_v2",), ("inception_resnet_v2",), ("mobilenet_v2", "inception_resnet_v2")]
)
def test_each_encoder_gets_its_own_file(tmp_path, names):
    torch.manual_seed(0)
    trained = DualEncoder(**SMALL)
    files = {}
    for name in names:
        files[name] = str(tmp_path / f"{name}.pth")
        torch.save(trained.encoders[name].state_dict(), files[name])
    torch.manual_seed(1)
    net = DualEncoder(**SMALL, weights=files)
    for name in trained.encoders:
        theirs, ours = trained.encoders[name].state_dict(), net.encoders[name].state_dict()
        first = next(iter(theirs))
        assert torch.equal(theirs[first], ours[first]) == (name in names)


def test_its_own_checkpoint_serves_both(tmp_path):
    torch.manual_seed(0)
    trained = DualEncoder(**SMALL)
    torch.save({"state_dict": {f"model.{k}": v for k, v in trained.state_dict().items()}}, tmp_path / "best.ckpt")
    file = str(tmp_path / "best.ckpt")
    net = DualEncoder(**SMALL, weights={"mobilenet_v2": file, "inception_resnet_v2": file})
    own = net.state_dict()
    assert all(torch.equal(own[n], v) for n, v in trained.state_dict().items() if n.startswith("encoders."))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("/one.pth", r"model\.weights=/one\.pth is one file for mobilenet_v2 and inception_resnet_v2"),
        ({"mobilenet": "/one.pth"}, r"model\.weights\.mobilenet: .*did you mean mobilenet_v2\?"),
        ({"mobilenet_v2": "/no/such.pth"}, r"model\.weights\.mobilenet_v2=/no/such\.pth does not exist"),
    ],
    ids=["one-for-two", "name", "missing"],
)
def test_weights_that_are_not_there_are_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        DualEncoder(**SMALL, weights=weights)


def test_imagenet_offline_names_file_and_key(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match=r"model\.weights\.mobilenet_v2=imagenet.*timm/mobilenetv2_100\.ra_in1k"):
        built(weights="imagenet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, r"in_channels=0"),
        ({"fusion": "add"}, r"fusion='add' is not one of concat, sum"),
        ({"head": "dense"}, r"head='dense' is not one of meta, plain"),
        ({"decoder_channels": (8, 8)}, r"decoder_channels=\[8, 8\] must be five"),
        ({"meta_kernel": 2}, r"meta_kernel=2"),
        ({"inception_blocks": (1, 1)}, r"blocks=\[1, 1\] must be 3 counts"),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DualEncoder(**{**SMALL, **arguments})
