"""Measures of the outline, by hand and against two other implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lungseg.metrics.boundary import Boundary, assd, hd, hd95, nsd
from lungseg.metrics.surface_distances import SurfaceDistances, surface_distances
from tests.metrics.test_surface_distances import blob

NAN = math.nan


def distances(there: list[float], back: list[float], diagonal: float = 50.0) -> SurfaceDistances:
    return SurfaceDistances(np.array(there, float), np.array(back, float), diagonal)


def test_values_of_pooled_distances():
    # 0, 1, ..., 20 in two unequal parts
    found = distances([0, 20, 3], [1, 2, *range(4, 20)])
    assert hd(found) == 20
    assert hd95(found) == 19  # of 21 values the 95th percentile is number 0.95 * 20 = 19 from 0
    assert assd(found) == 10  # 210 / 21, not the mean of 23/3 and 187/18
    assert nsd(found, 3) == pytest.approx(4 / 21)


def test_a_percentile_lies_between_two_distances_linearly():
    assert hd95(distances([0, 10], [0, 30])) == pytest.approx(27)  # number 0.95 * 3 = 2.85: 10 + 0.85 * 20


@pytest.mark.parametrize(
    ("found", "distance", "share"),
    [
        pytest.param(distances([], []), NAN, NAN, id="both-empty-is-undefined"),
        pytest.param(distances([], [math.inf] * 3), 50.0, 0.0, id="missed-costs-the-diagonal"),
        pytest.param(distances([math.inf] * 3, []), 50.0, 0.0, id="false-costs-the-diagonal"),
        pytest.param(distances([0, 0], [0]), 0.0, 1.0, id="same"),
    ],
)
def test_empty_and_equal_masks(found, distance, share):
    values = [hd(found), hd95(found), assd(found), nsd(found, 2.0)]
    np.testing.assert_array_equal(values, [distance] * 3 + [share])


@pytest.mark.parametrize(
    ("tolerance", "share"), [(0.0, 0.25), (1.0, 0.5), (1.9999, 0.5), (2.0, 0.75), (4.0, 1.0)], ids=str
)
def test_a_distance_that_equals_the_tolerance_is_within(tolerance, share):
    assert nsd(distances([0, 1], [2, 4]), tolerance) == share


def test_spacings_rounded_to_float32_do_not_push_a_distance_over_the_tolerance():
    side = float(np.float32(0.2))  # 0.20000000298
    assert nsd(distances([10 * side], [10 * side]), 2.0) == 1.0


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # monai 1.6 warns of its own code
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.175, 0.175), (0.2, 0.7)], ids=str)
def test_values_are_those_of_monai(spacing):
    monai = pytest.importorskip("monai.metrics")
    pairs = [(blob(seed), blob(seed + 100)) for seed in range(12)]
    p, t = (torch.from_numpy(np.stack(planes))[:, None].float() for planes in zip(*pairs, strict=True))
    found = [surface_distances(prediction, mask, spacing=spacing) for prediction, mask in pairs]
    settings = {"y_pred": p, "y": t, "include_background": True, "spacing": spacing}
    one_way = [monai.compute_hausdorff_distance(**settings, percentile=95, directed=True)]
    one_way.append(monai.compute_hausdorff_distance(**{**settings, "y_pred": t, "y": p}, percentile=95, directed=True))
    references = {
        "hd": monai.compute_hausdorff_distance(**settings),
        "assd": monai.compute_average_surface_distance(**settings, symmetric=True),
        "nsd": monai.compute_surface_dice(**settings, class_thresholds=[1.5]),
    }
    ours = {"hd": map(hd, found), "assd": map(assd, found), "nsd": (nsd(each, 1.5) for each in found)}
    for name, values in ours.items():
        np.testing.assert_allclose(list(values), references[name][:, 0], rtol=1e-5, err_msg=name)
    # MONAI takes the greater of both percentiles; the pooled one lies between them
    both = torch.cat(one_way, dim=1).numpy()
    values = np.array([hd95(each) for each in found])
    assert (values <= both.max(axis=1) * (1 + 1e-5)).all()
    assert (values >= both.min(axis=1) * (1 - 1e-5)).all()


@pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*:DeprecationWarning")  # surface-distance 0.1 calls old names
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.175, 0.175)], ids=str)
def test_values_are_near_those_of_surface_distance(spacing):
    """DeepMind's outlines run between the pixels and are weighed by their length, so the two differ by parts of one.

    Over 300 pairs of blobs: HD by at most 1.37 pixels, the mean distance by 0.53, the share within 3 pixels by 0.10.
    """
    theirs = pytest.importorskip("surface_distance")
    pixel = spacing[0]
    for seed in range(12):
        prediction, mask = blob(seed), blob(seed + 1000)
        found = surface_distances(prediction, mask, spacing=spacing)
        reference = theirs.compute_surface_distances(mask, prediction, spacing)
        lengths = [reference[f"surfel_areas_{name}"].sum() for name in ("gt", "pred")]
        mean = np.average(theirs.compute_average_surface_distance(reference), weights=lengths)
        share = theirs.compute_surface_dice_at_tolerance(reference, 3 * pixel)
        assert hd(found) == pytest.approx(theirs.compute_robust_hausdorff(reference, 100), abs=math.sqrt(2) * pixel)
        assert assd(found) == pytest.approx(mean, abs=0.6 * pixel)
        assert nsd(found, 3 * pixel) == pytest.approx(share, abs=0.1)
        # theirs is the greater of both percentiles
        assert hd95(found) <= theirs.compute_robust_hausdorff(reference, 95) + math.sqrt(2) * pixel


def planes(*columns: slice) -> np.ndarray:
    """One plane of 8 x 10 for each slice of its columns."""
    out = np.zeros((len(columns), 8, 10), bool)
    for plane, where in zip(out, columns, strict=True):
        plane[:, where] = True
    return out


def test_each_structure_is_measured_in_pixels_and_millimetres():
    # one column against one column: two off, and five off
    measured = Boundary(tolerance_mm=1.0)(
        planes(slice(3, 4), slice(0, 1)), planes(slice(5, 6), slice(5, 6)), spacing_mm=(0.5, 0.5)
    )
    assert measured == [
        {"hd95_px": 2.0, "assd_px": 2.0, "hd95_mm": 1.0, "assd_mm": 1.0, "nsd": 1.0},
        {"hd95_px": 5.0, "assd_px": 5.0, "hd95_mm": 2.5, "assd_mm": 2.5, "nsd": 0.0},
    ]


def test_pixels_that_are_not_square_are_measured_along_their_sides():
    (found,) = Boundary(tolerance_mm=1.0)(planes(slice(3, 4)), planes(slice(5, 6)), spacing_mm=(3.0, 0.25))
    assert found == {"hd95_px": 2.0, "assd_px": 2.0, "hd95_mm": 0.5, "assd_mm": 0.5, "nsd": 1.0}


def test_square_and_nearly_square_pixels_agree():
    one, two = (
        Boundary()(blob(1)[None], blob(2)[None], spacing_mm=spacing)[0] for spacing in ((0.3, 0.3), (0.3, 0.30001))
    )
    assert one == pytest.approx(two, rel=1e-4)


def test_without_a_known_size_there_are_no_millimetres():
    (found,) = Boundary()(planes(slice(3, 4)), planes(slice(5, 6)))
    assert (found["hd95_px"], found["assd_px"]) == (2.0, 2.0)
    assert all(math.isnan(found[name]) for name in ("hd95_mm", "assd_mm", "nsd"))
    assert tuple(found) == Boundary.columns


@pytest.mark.parametrize("spacing", [(2.0, 2.0), (2.0, 4.0)], ids=["square", "not-square"])
def test_a_missed_structure_costs_the_diagonal_of_the_image(spacing):
    (found,) = Boundary()(planes(slice(0, 0)), planes(slice(5, 6)), spacing_mm=spacing)
    assert found["hd95_px"] == found["assd_px"] == pytest.approx(math.hypot(8, 10))
    assert found["hd95_mm"] == found["assd_mm"] == pytest.approx(math.hypot(8 * spacing[0], 10 * spacing[1]))
    assert found["nsd"] == 0


def test_left_out_pixels_are_not_measured():
    valid = np.ones((8, 10), bool)
    valid[:, 6:] = False
    # both hold column 3; the prediction also holds column 8, which is left out
    (found,) = Boundary()(planes(slice(3, 4)) | planes(slice(8, 9)), planes(slice(3, 4)), valid=valid)
    assert found["hd95_px"] == 0


@pytest.mark.parametrize("tolerance", [-1.0, NAN, math.inf], ids=str)
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"metrics\.boundary\.tolerance_mm="):
        Boundary(tolerance_mm=tolerance)


def test_planes_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 8, 10\) and the mask \(2, 8, 10\)"):
        Boundary()(planes(slice(1)), planes(slice(1), slice(1)))
