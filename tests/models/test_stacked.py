"""Stacking: the sheet's counts, what the meta learner sees, frozen bases and their weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from huggingface_hub import constants
from torch import Tensor, nn

from lungseg.errors import ConfigError, ResourceError
from lungseg.models.resunet import ResUNet
from lungseg.models.smp import Smp
from lungseg.models.stacked import Stacked
from lungseg.models.unet_inception_resnet_v2 import UNetInceptionResNetV2
from lungseg.models.unet_mobilenet_v2 import UNetMobileNetV2

TINY = partial(ResUNet, features=(2, 4))
TWO = {"one": TINY, "other": TINY}


class Fixed(nn.Module):
    """A base that gives the same logits everywhere."""

    def __init__(self, *, in_channels: int = 1, num_classes: int = 1, logit: float = 0.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.logit = logit

    def forward(self, image: Tensor) -> Tensor:
        steps = torch.arange(self.num_classes).view(1, -1, 1, 1)
        return (self.logit + steps).expand(image.shape[0], -1, *image.shape[-2:])


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        pytest.param(
            {"a": partial(Smp, encoder="mobilenet_v2"), "b": partial(Smp, encoder="inceptionresnetv2")},
            68_669_347,  # 6,628,945 + 62,029,297 + 11,105
            id="smp",
        ),
        pytest.param(
            {"a": UNetMobileNetV2, "b": UNetInceptionResNetV2},
            10_069_249 + 36_752_065 + 11_105,
            id="keras",
        ),
    ],
)
def test_joint_parameter_count_is_the_sheets(bases, expected):
    with torch.device("meta"):
        assert count(Stacked(bases=bases, in_channels=3)) == expected


@pytest.mark.parametrize(
    ("bases", "arguments", "expected"),
    [
        (2, {}, 11_105),
        (2, {"meta_bn": "last"}, 10_913),
        (3, {}, 11_137),
        (3, {"meta_bn": "last"}, 10_945),
        (2, {"meta_kernel": 3}, 93_537),
        (2, {"meta_kernel": 3, "meta_bn": "last"}, 93_345),
    ],
    ids=str,
)
def test_trainable_parameters_above_frozen_bases_are_the_sheets(bases, arguments, expected):
    net = Stacked(bases={f"base{i}": TINY for i in range(bases)}, freeze_bases=True, **arguments)
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == expected


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        # sigmoid of -1, 0 and of 2, 3
        ("sigmoid", torch.tensor([-1.0, 0, 2, 3]).sigmoid()),
        # softmax of two logits one apart, whatever their level
        ("softmax", torch.tensor([-1.0, 1, -1, 1]).sigmoid()),
    ],
)
def test_meta_learner_sees_the_probabilities_of_all_bases(activation, expected):
    if activation == "softmax":  # exp(0) / (exp(0) + exp(1)) = sigmoid(-1)
        assert torch.tensor([0.0, 1.0]).softmax(0)[0] == torch.tensor(-1.0).sigmoid()
    bases = {"low": partial(Fixed, logit=-1.0), "high": partial(Fixed, logit=2.0)}
    net = Stacked(bases=bases, num_classes=2, activation=activation).eval()
    seen = []
    net.head.register_forward_pre_hook(lambda _m, i: seen.append(i[0]))
    net(torch.zeros(1, 1, 2, 3))
    assert seen[0].shape == (1, 4, 2, 3)
    torch.testing.assert_close(seen[0][0, :, 1, 2], expected)


def test_output_is_logits_of_the_meta_learner():
    net = Stacked(bases=TWO, meta_widths=(4,)).eval()
    nn.init.zeros_(net.head[-1].weight)
    nn.init.constant_(net.head[-1].bias, -7)
    with torch.no_grad():
        assert bool((net(torch.rand(1, 1, 9, 5)) == -7).all())


def test_bases_get_channels_and_classes_unless_they_name_their_own():
    net = Stacked(bases={"one": TINY, "rgb": partial(TINY, in_channels=3)}, num_classes=2, meta_widths=(4,))
    assert [(base.in_channels, base.num_classes) for base in net.bases.values()] == [(1, 2), (3, 2)]
    assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 2, 8, 8)


def test_a_base_set_to_null_is_left_out():
    assert list(Stacked(bases={**TWO, "other": None}).bases) == ["one"]


def test_frozen_bases_keep_weights_and_statistics_in_training():
    net = Stacked(bases=TWO, freeze_bases=True, meta_dropout=0.0).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.rand(2, 1, 16, 16)).square().mean().backward()
    optimizer.step()
    after = net.state_dict()
    assert {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"head"}
    assert net.head.training
    assert not net.bases.training


def test_joint_bases_are_trained():
    net = Stacked(bases=TWO)
    net(torch.rand(2, 1, 16, 16)).square().mean().backward()
    assert all(p.grad is not None for p in net.bases.parameters())


@pytest.mark.parametrize("wrapped", [False, True], ids=["state-dict", "checkpoint"])
def test_a_base_gets_the_weights_of_its_own_training(tmp_path, wrapped):
    torch.manual_seed(0)
    trained = TINY()
    state = trained.state_dict()
    content = {"state_dict": {f"model.{k}": v for k, v in state.items()}, "epoch": 3} if wrapped else state
    torch.save(content, tmp_path / "best.ckpt")
    net = Stacked(bases=TWO, weights={"other": str(tmp_path / "best.ckpt")})
    loaded, random = net.bases["other"].state_dict(), net.bases["one"].state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert not torch.equal(random["output.weight"], state["output.weight"])


def test_a_checkpoint_of_another_base_is_refused(tmp_path):
    torch.save(ResUNet(features=(4, 8)).state_dict(), tmp_path / "wide.pth")
    with pytest.raises(ConfigError, match=r"model\.weights\.one=.*other shapes.*Give model\.bases\.one the arguments"):
        Stacked(bases=TWO, weights={"one": str(tmp_path / "wide.pth")})


def test_imagenet_goes_to_the_bases_that_take_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    bases = {"plain": TINY, "pretrained": partial(UNetMobileNetV2, alpha=0.5)}
    for weights in ("imagenet", {"pretrained": "imagenet"}):
        with pytest.raises(ResourceError, match=r"timm/mobilenetv2_050"):
            Stacked(bases=bases, weights=weights)
    with pytest.raises(ConfigError, match=r"imagenet weights of plain, but model\.bases\.plain takes none"):
        Stacked(bases=bases, weights={"plain": "imagenet"})


def test_weights_inside_a_base_are_refused_as_its_checkpoint_would_read_them_again():
    bases = {"one": partial(UNetMobileNetV2, weights="imagenet")}
    with pytest.raises(ConfigError, match=r"model\.bases\.one\.weights=imagenet.*Give model\.weights\.one instead"):
        Stacked(bases=bases)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bases": {}}, r"bases is empty"),
        ({"num_classes": 0}, r"num_classes=0"),
        ({"activation": "tanh"}, r"activation='tanh' is not one of sigmoid, softmax"),
        ({"meta_bn": "none"}, r"meta_bn='none'"),
    ],
    ids=["bases", "classes", "activation", "bn"],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Stacked(**{"bases": TWO, **arguments})
