"""Weighted Tanimoto with complement against hand arithmetic and a formula by loops over windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from lungseg.losses.tanimoto import TanimotoLoss
from tests.losses.cases import numpy_planes, random_case, used

WEIGHTS = ["none", "contour", "volume", "both", "unet_border"]


def numpy_contour(truth, use) -> np.ndarray:
    """Of one plane, window 11."""
    found = np.zeros(truth.shape)
    for y, x in np.ndindex(*truth.shape):
        window = np.s_[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6]
        counted = truth[window][use[window]]
        found[y, x] = len(counted) > 0 and 0.005 < counted.mean() < 0.995
    return found


def numpy_border(planes, use) -> np.ndarray:
    """10 exp(-(d1 + d2)^2 / 50) outside the components of all planes."""
    apart = []
    for plane in planes:
        labels, count = ndimage.label((plane == 1) & use, structure=np.ones((3, 3)))
        apart += [ndimage.distance_transform_edt(labels != i) for i in range(1, count + 1)]
    if len(apart) < 2:
        return np.zeros(use.shape)
    nearest = np.sort(apart, axis=0)[:2].sum(axis=0)
    return 10 * np.exp(-(nearest**2) / 50) * (((planes == 1) & use).sum(axis=0) == 0)


def numpy_weights(truth, use, kind) -> np.ndarray:
    """(B, C, H, W) of a group of images that are summed together; the first class is the background."""
    where = np.broadcast_to(use[:, None], truth.shape)
    w = np.ones(truth.shape)
    if kind in ("volume", "both"):
        r = np.sum(truth * where, axis=(0, 2, 3)) ** -2.0
        w = w * (r * r.sum() / np.sum(r**2))[:, None, None]
    if kind in ("contour", "both"):
        w = w + 2 * np.array([[numpy_contour(t, u) for t in ts] for ts, u in zip(truth, use, strict=True)])
    if kind == "unet_border":
        w = w + np.array([numpy_border(ts[1:], u) for ts, u in zip(truth, use, strict=True)])[:, None]
    if kind in ("contour", "both", "unet_border"):
        w = w * where.sum() / np.sum(w[where])
    return (w**2 if kind in ("contour", "both") else w) * where


def numpy_tanimoto(logits, mask, valid, *, kind, smooth, per_image, complement) -> float:
    probability, truth = numpy_planes(logits, mask)
    use = used(valid, mask)
    problems = [(probability, truth)]
    if logits.shape[1] == mask.shape[1]:  # a structure and its complement are two classes
        problems = [
            tuple(np.stack([1 - x[:, k], x[:, k]], axis=1) for x in (probability, truth)) for k in range(mask.shape[1])
        ]
    groups = [[i] for i in range(len(use))] if per_image else [list(range(len(use)))]
    losses = []
    for group in groups:
        for p, y in ((p[group], y[group]) for p, y in problems):
            w = numpy_weights(y, use[group], kind)
            sides = [(p, y), (1 - p, 1 - y)] if complement else [(p, y)]
            index = [(np.sum(w * b * a) + smooth) / (np.sum(w * (b**2 + a**2 - b * a)) + smooth) for a, b in sides]
            losses.append(1 - np.mean(index))
    return float(np.mean(losses))


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("use_valid", [False, True], ids=["all-pixels", "valid"])
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_value_is_that_of_an_independent_formula(form, use_valid, per_image, kind):
    logits, mask, valid = random_case(form=form, size=(6, 19))
    mask[..., 12:] = 0  # a contour somewhere, not everywhere
    chosen = valid if use_valid else None
    smooth = 1e-5 if kind == "volume" else 1.0
    expected = numpy_tanimoto(logits, mask, chosen, kind=kind, smooth=smooth, per_image=per_image, complement=True)
    loss = TanimotoLoss(weights=kind, per_image=per_image)(logits, mask, chosen)
    assert loss.item() == pytest.approx(expected, rel=1e-6 if kind == "unet_border" else 1e-12)


@pytest.mark.parametrize("complement", [True, False])
def test_smooth_and_complement_are_as_asked(complement):
    logits, mask, _ = random_case(form="softmax")
    expected = numpy_tanimoto(logits, mask, None, kind="volume", smooth=3, per_image=False, complement=complement)
    loss = TanimotoLoss(weights="volume", smooth=3, complement=complement)(logits, mask)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_gradient_agrees_with_finite_differences(form, per_image, kind):
    logits, mask, valid = random_case(form=form)
    loss = TanimotoLoss(weights=kind, per_image=per_image)
    assert torch.autograd.gradcheck(lambda x: loss(x, mask, valid), logits.requires_grad_())


def row_of_twenty() -> torch.Tensor:
    """Mask (1, 1, 1, 20) of which the first 5 are 1: its contour is the first 10 (window 11)."""
    mask = torch.zeros(1, 1, 1, 20, dtype=torch.uint8)
    mask[..., :5] = 1
    return mask


def planes_of(mask: torch.Tensor) -> torch.Tensor:
    """(B, 1, 2, H, W), the background first."""
    return torch.stack([1 - mask, mask], dim=2).double()


def test_a_contour_pixel_weighs_nine_times_another():
    # u = 3 at 10 pixels and 1 at 10, of mean 2: (3/2)^2 and (1/2)^2
    weights = TanimotoLoss().pixel_weights(planes_of(row_of_twenty()))
    assert weights.flatten().tolist() == [2.25] * 10 + [0.25] * 10


def test_contour_loss_by_hand():
    # p = 1/2: sum w y p = (22.5 + 2.5) / 2; y^2 + p^2 - y p is 3/4 + 1/4 over both classes, so 25 below
    loss = TanimotoLoss()(torch.zeros(1, 1, 1, 20), row_of_twenty())
    assert loss.item() == pytest.approx(1 - (12.5 + 1) / (25 + 1))


def test_volume_weights_by_hand():
    # V = 15, 5: 5/41 and 45/41
    weights = TanimotoLoss(weights="volume").pixel_weights(planes_of(row_of_twenty()))
    assert weights.flatten().tolist() == pytest.approx([5 / 41, 45 / 41])


def test_both_weights_by_hand():
    # u = volume + 2 on the contour: 5/41 and 45/41, each + 2 at 10 of 20 pixels: mean 25/41 + 1 = 66/41
    weights = TanimotoLoss(weights="both").pixel_weights(planes_of(row_of_twenty()))
    background = [(87 / 66) ** 2] * 10 + [(5 / 66) ** 2] * 10
    structure = [(127 / 66) ** 2] * 10 + [(45 / 66) ** 2] * 10
    assert weights[0, 0, :, 0].flatten().tolist() == pytest.approx(background + structure)


def test_pooled_weights_are_relative_to_the_batch():
    # the second image has no contour: u is 3 at 10 of 40 pixels, mean 3/2; alone it would be 1 everywhere
    truth = planes_of(torch.cat([row_of_twenty(), torch.zeros(1, 1, 1, 20, dtype=torch.uint8)]))
    pooled = TanimotoLoss().pixel_weights(truth)
    assert pooled[0].flatten().tolist() == pytest.approx([4.0] * 10 + [4 / 9] * 10)
    assert pooled[1].flatten().tolist() == pytest.approx([4 / 9] * 20)
    assert TanimotoLoss(per_image=True).pixel_weights(truth)[1].flatten().tolist() == [1] * 20


def test_weights_are_0_where_left_out_and_do_not_follow_from_it():
    mask = row_of_twenty()
    valid = torch.ones(1, 1, 1, 1, 20, dtype=torch.float64)
    valid[..., 15:] = 0
    # u is 3 at 10 and 1 at 5 of the 15 that count: mean 7/3
    weights = TanimotoLoss().pixel_weights(planes_of(mask), valid)
    assert weights.flatten().tolist() == pytest.approx([81 / 49] * 10 + [9 / 49] * 5 + [0] * 5)
    mask[..., 15:] = 1
    torch.testing.assert_close(TanimotoLoss().pixel_weights(planes_of(mask), valid), weights)


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
def test_one_sigmoid_and_a_softmax_of_two_classes_agree(kind, per_image):
    logits, mask, valid = random_case(structures=1)
    two, loss = torch.cat([torch.zeros_like(logits), logits], dim=1), TanimotoLoss(weights=kind, per_image=per_image)
    torch.testing.assert_close(loss(two, mask, valid), loss(logits, mask, valid))


def test_of_two_classes_the_complement_adds_nothing_under_equal_weights():
    logits, mask, _ = random_case(structures=1)
    both = TanimotoLoss()(logits, mask), TanimotoLoss(complement=False)(logits, mask)
    torch.testing.assert_close(*both)
    # by volume the complement of a class has the weight of the class, not its own
    both = TanimotoLoss(weights="volume")(logits, mask), TanimotoLoss(weights="volume", complement=False)(logits, mask)
    assert both[0] != both[1]


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("per_image", [True, False], ids=["per-image", "pooled"])
@pytest.mark.parametrize("form", ["sigmoid", "softmax"])
def test_absent_classes_and_images_without_valid_pixels_are_finite(kind, per_image, form):
    logits, mask, valid = random_case(form=form)
    mask[:2] = 0
    valid[2] = 0
    value = TanimotoLoss(weights=kind, per_image=per_image)(logits.requires_grad_(), mask, valid)
    value.backward()
    assert 0 < value < 1
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[2].any()


def test_smooth_follows_the_weights_as_in_the_papers_code():
    assert [TanimotoLoss(weights=kind).smooth for kind in WEIGHTS] == [1.0, 1.0, 1e-5, 1.0, 1.0]
    assert TanimotoLoss(weights="volume", smooth=0.5).smooth == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": "edge"}, "weights=edge is none of none, contour, volume, both, unet_border"),
        ({"smooth": 0}, "smooth=0"),
        ({"w0": 0}, "w0=0"),
        ({"sigma": 0}, "sigma=0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TanimotoLoss(**arguments)
