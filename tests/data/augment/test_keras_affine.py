"""Keras' random affine maps: drawn by a pure function, moved as scipy moves them for Keras."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from lungseg.data.augment.keras_affine import KerasAffine, KerasParameters
from lungseg.data.io import read_radiograph
from lungseg.errors import ConfigError

STILL = {
    "rotation_degrees": 0.0, "height_shift": 0.0, "width_shift": 0.0, "shear_degrees": 0.0, "zoom": 0.0,
    "horizontal_flip": 0.0, "vertical_flip": 0.0,
}  # fmt: skip
DRAW = {"seed": 0, "epoch": 0, "key": 7}
NONE = np.zeros((0, 300, 340), np.uint8)


def keras(plane: np.ndarray, drawn: KerasParameters, centre_offset: float = 0.5) -> np.ndarray:
    """The four matrices about the centre, scipy's map with order 1 and mode "reflect", then the flips, in float64."""
    t, s = np.radians(drawn.theta_degrees), np.radians(drawn.shear_degrees)
    rotation = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    shift = np.array([[1, 0, drawn.shift_rows], [0, 1, drawn.shift_columns], [0, 0, 1]])
    shear = np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
    zoom = np.diag([drawn.zoom_rows, drawn.zoom_columns, 1])
    to_centre = np.eye(3)
    to_centre[:2, 2] = np.array(plane.shape) / 2 + centre_offset
    full = to_centre @ rotation @ shift @ shear @ zoom @ np.linalg.inv(to_centre)
    moved = ndimage.affine_transform(plane.astype(np.float64), full[:2, :2], full[:2, 2], order=1, mode="reflect")
    moved = moved[:, ::-1] if drawn.flip_columns else moved
    return moved[::-1] if drawn.flip_rows else moved


def noise(dtype: type = np.uint8) -> np.ndarray:
    """The hardest image for an interpolation: every pixel has nothing to do with its neighbours."""
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (300, 340)).astype(dtype)


def discs() -> np.ndarray:
    """Two structures, one of which touches the border, and a plane of left-out pixels."""
    y, x = np.mgrid[:300, :340]
    planes = [(y - 120) ** 2 + (x - 90) ** 2 < 6400, (y - 150) ** 2 + (x - 300) ** 2 < 8000, (y > 280) & (x > 0)]
    return np.stack(planes).astype(np.uint8)


def in_batch(affine: KerasAffine, image: np.ndarray, masks: np.ndarray, keys: range) -> tuple[np.ndarray, np.ndarray]:
    """Images on the scale of 255, and masks, of several draws at once."""
    drawn = [affine.sample(seed=0, epoch=0, key=key, height=300, width=340) for key in keys]
    images = torch.from_numpy(image / np.float32(np.iinfo(image.dtype).max)).expand(len(keys), 1, 300, 340)
    moved, planes = affine.apply_batch(images, torch.from_numpy(masks).expand(len(keys), *masks.shape), drawn)
    return moved[:, 0].numpy() * 255, planes.numpy()


class TestDraw:
    def test_the_same_arguments_draw_the_same(self):
        one, other = (KerasAffine().sample(**DRAW, height=300, width=340) for _ in range(2))
        assert np.array_equal(one.matrix, other.matrix)

    @pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}, {"key": 8}], ids=str)
    def test_seed_epoch_and_sample_each_change_the_draw(self, changed):
        one = KerasAffine().sample(**DRAW, height=300, width=340)
        other = KerasAffine().sample(**{**DRAW, **changed}, height=300, width=340)
        assert one.theta_degrees != other.theta_degrees
        assert one.zoom_columns != other.zoom_columns

    def test_every_value_fills_the_range_of_the_paper(self):
        drawn = [KerasAffine().sample(seed=0, epoch=0, key=key, height=300, width=340) for key in range(500)]
        ranges = {
            "theta_degrees": (0, 90), "shift_rows": (0, 30), "shift_columns": (0, 34), "shear_degrees": (0, 15),
            "zoom_rows": (1, 0.1), "zoom_columns": (1, 0.1),
        }  # fmt: skip
        for name, (middle, reach) in ranges.items():
            values = np.array([getattr(p, name) for p in drawn]) - middle
            assert 0.98 * reach < np.abs(values).max() <= reach + 1e-12
            # of 500 uniform values the mean has a standard error of reach / sqrt(3 * 500) = 0.026 reach
            assert abs(values.mean()) < 0.1 * reach

    def test_no_two_values_hang_together(self):
        drawn = [KerasAffine().sample(seed=0, epoch=0, key=key, height=300, width=340) for key in range(500)]
        names = ("theta_degrees", "shift_rows", "shift_columns", "shear_degrees", "zoom_rows", "zoom_columns")
        values = np.array([[getattr(p, name) for name in names] + [p.flip_columns, p.flip_rows] for p in drawn])
        # the correlation of 500 independent pairs has a standard deviation of 0.045
        assert np.abs(np.corrcoef(values.T.astype(float)) - np.eye(8)).max() < 0.2

    @pytest.mark.parametrize("name", ["flip_columns", "flip_rows"])
    def test_half_of_the_samples_are_flipped(self, name):
        flips = [getattr(KerasAffine().sample(seed=0, epoch=0, key=k, height=8, width=8), name) for k in range(400)]
        assert 160 < sum(flips) < 240  # 200, standard deviation 10

    @pytest.mark.parametrize(
        ("offset", "still"),
        # size / 2 + 1/2 of TensorFlow 2.1 and size / 2 - 1/2, the middle: the place that a rotation leaves alone
        [(0.5, (150.5, 170.5)), (-0.5, (149.5, 169.5))],
        ids=["tensorflow-2.1", "middle"],
    )
    def test_the_centre_stays_where_it_is(self, offset, still):
        turn = KerasAffine(**{**STILL, "rotation_degrees": 90.0}, centre_offset=offset)
        matrix = turn.sample(**DRAW, height=300, width=340).matrix
        assert not np.allclose(matrix[:, :2], np.eye(2))
        np.testing.assert_allclose(matrix @ [*still, 1], still)

    def test_a_zoom_above_one_shows_more(self):
        drawn = KerasAffine(**{**STILL, "zoom": 0.1}).sample(**DRAW, height=300, width=340)
        np.testing.assert_allclose(np.diag(drawn.matrix[:, :2]), [drawn.zoom_rows, drawn.zoom_columns])

    def test_a_shift_of_rows_is_a_share_of_the_height(self):
        drawn = KerasAffine(**{**STILL, "height_shift": 0.1}).sample(**DRAW, height=300, width=340)
        assert 0 < abs(drawn.shift_rows) <= 30
        np.testing.assert_allclose(drawn.matrix, [[1, 0, drawn.shift_rows], [0, 1, 0]], atol=1e-12)


class TestAgainstScipy:
    @pytest.mark.parametrize("offset", [0.5, -0.5], ids=["tensorflow-2.1", "middle"])
    def test_grey_values_agree_within_a_fiftieth_of_a_level(self, offset):
        affine, keys = KerasAffine(centre_offset=offset), range(12)
        images, _ = in_batch(affine, noise(), NONE, keys)
        for key, image in zip(keys, images, strict=True):
            drawn = affine.sample(seed=0, epoch=0, key=key, height=300, width=340)
            assert np.abs(image - keras(noise(), drawn, offset)).max() < 0.02

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_a_rounded_sample_agrees_within_a_level(self, dtype):
        affine = KerasAffine()
        level = np.iinfo(dtype).max / 255
        for key in range(12):
            out, _ = affine(noise(dtype), NONE, seed=0, epoch=0, key=key)
            drawn = affine.sample(seed=0, epoch=0, key=key, height=300, width=340)
            assert out.dtype == dtype
            assert np.abs(out - keras(noise(dtype), drawn)).max() < (0.52 if dtype == np.uint8 else 0.03 * level)

    def test_masks_are_the_rounded_map_of_the_mask(self):
        affine = KerasAffine()
        for key in range(12):
            _, moved = affine(noise(), discs(), seed=0, epoch=0, key=key)
            drawn = affine.sample(seed=0, epoch=0, key=key, height=300, width=340)
            for plane, out in zip(discs(), moved, strict=True):
                expected = keras(plane, drawn)
                decided = np.abs(expected - 0.5) > 1e-4
                assert np.array_equal(out[decided], np.round(expected[decided]))

    def test_the_border_is_cv2_s_reflect(self):
        # 40 rows and columns more on each side, by the border that repeats the edge, make the same as reading beyond it
        affine = KerasAffine(**{**STILL, "height_shift": 0.1, "width_shift": 0.1})
        drawn = affine.sample(**DRAW, height=300, width=340)
        wide = cv2.copyMakeBorder(noise(), 40, 40, 40, 40, cv2.BORDER_REFLECT).astype(float)
        rows, columns = np.mgrid[:300, :340] + 40.0 + np.array([drawn.shift_rows, drawn.shift_columns])[:, None, None]
        expected = ndimage.map_coordinates(wide, [rows, columns], order=1)
        assert np.abs(affine(noise(), NONE, **DRAW)[0] - expected).max() < 0.52

    @pytest.mark.data
    def test_a_real_radiograph_is_moved_as_scipy_moves_it(self, real_data):
        image = read_radiograph(next((real_data / "jsrt" / "scr-200" / "images").iterdir())).pixels
        image = cv2.resize(image if image.ndim == 2 else np.ascontiguousarray(image[..., 0]), (340, 300))
        affine = KerasAffine()
        drawn = affine.sample(**DRAW, height=300, width=340)
        assert np.abs(affine(image, NONE, **DRAW)[0] - keras(image, drawn)).max() < 0.52


class TestAppliers:
    def test_samples_and_batches_differ_by_rounding_only(self):
        affine, keys = KerasAffine(), range(6)
        images, planes = in_batch(affine, noise(), discs(), keys)
        for key, image, moved in zip(keys, images, planes, strict=True):
            one, masks = affine(noise(), discs(), seed=0, epoch=0, key=key)
            assert np.abs(one - image).max() <= 0.501
            assert np.array_equal(masks, moved)

    @pytest.mark.parametrize("planes", [0, 1, 3])
    def test_any_number_of_planes_moves_along(self, planes):
        _, moved = KerasAffine()(noise(), discs()[:planes], **DRAW)
        assert (moved.shape, moved.dtype) == ((planes, 300, 340), np.uint8)
        assert np.array_equal(moved, KerasAffine()(noise(), discs(), **DRAW)[1][:planes])

    def test_nothing_drawn_changes_nothing(self):
        out, moved = KerasAffine(**STILL)(noise(), discs(), **DRAW)
        assert np.array_equal(out, noise())
        assert np.array_equal(moved, discs())

    def test_sure_flips_are_mirror_images(self):
        out, moved = KerasAffine(**{**STILL, "horizontal_flip": 1.0})(noise(), discs(), **DRAW)
        assert np.array_equal(out, noise()[:, ::-1])
        assert np.array_equal(moved, discs()[:, :, ::-1])
        out, _ = KerasAffine(**{**STILL, "vertical_flip": 1.0})(noise(), discs(), **DRAW)
        assert np.array_equal(out, noise()[::-1])

    def test_black_and_white_stay_what_they_are(self):
        # where rounding errors of the weights would run over the ends of the scale
        for value in (0, 255):
            out, _ = KerasAffine()(np.full((64, 48), value, np.uint8), np.zeros((0, 64, 48), np.uint8), **DRAW)
            assert (out == value).all()

    def test_the_sample_given_is_left_as_it_was(self):
        image, masks = noise(), discs()
        image.flags.writeable = masks.flags.writeable = False
        KerasAffine()(image, masks, **DRAW)


@pytest.mark.parametrize(
    "wrong", [{"horizontal_flip": 1.5}, {"vertical_flip": -0.1}, {"zoom": 1.0}, {"zoom": -0.1}], ids=str
)
def test_ranges_out_of_bounds_are_refused_under_their_key(wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(ConfigError, match=rf"augment\.{key}={value}"):
        KerasAffine(**wrong)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_batch_on_the_gpu_is_moved_as_on_the_processor():
    affine = KerasAffine()
    drawn = [affine.sample(seed=0, epoch=0, key=key, height=300, width=340) for key in range(4)]
    images = torch.from_numpy(noise() / np.float32(255)).expand(4, 1, 300, 340).contiguous()
    planes = torch.from_numpy(discs()).expand(4, 3, 300, 340).contiguous()
    here = affine.apply_batch(images, planes, drawn)
    there = affine.apply_batch(images.cuda(), planes.cuda(), drawn)
    torch.testing.assert_close(there[0].cpu(), here[0], atol=0.02 / 255, rtol=0)
    # a mask's value may be a rounding error away from 1/2
    assert (there[1].cpu() != here[1]).float().mean() < 1e-5
