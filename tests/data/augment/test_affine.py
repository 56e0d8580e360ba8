"""Affine augmentation: drawn by a pure function, applied alike by cv2 and by torch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from lungseg.data.augment.affine import Affine
from lungseg.errors import ConfigError

STILL = {
    "rotation_degrees": 0.0, "scale": 0.0, "shear_degrees": 0.0, "shift": 0.0, "gain": 0.0, "offset": 0.0, "gamma": 0.0,
}  # fmt: skip
DRAW = {"seed": 0, "epoch": 0, "key": 7}


def smooth(size: tuple[int, int] = (96, 80), dtype: type = np.uint8) -> np.ndarray:
    """Waves of 20 and 30 pixels between 20 % and 80 % of the range."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = 0.5 + 0.3 * np.sin(2 * np.pi * x / 20) * np.cos(2 * np.pi * y / 30)
    return (waves * np.iinfo(dtype).max).astype(dtype)


def discs(size: tuple[int, int] = (96, 80)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([(y - 40) ** 2 + (x - 25) ** 2 < 200, (y - 50) ** 2 + (x - 55) ** 2 < 300]).astype(np.uint8)


class TestDraw:
    def test_the_same_arguments_draw_the_same(self):
        one, other = (Affine().sample(**DRAW, height=96, width=80) for _ in range(2))
        assert np.array_equal(one.matrix, other.matrix)
        assert (one.gain, one.offset, one.gamma) == (other.gain, other.offset, other.gamma)

    @pytest.mark.parametrize("changed", [{"seed": 1}, {"epoch": 1}, {"key": 8}], ids=str)
    def test_seed_epoch_and_sample_each_change_the_draw(self, changed):
        one = Affine().sample(**DRAW, height=96, width=80)
        other = Affine().sample(**{**DRAW, **changed}, height=96, width=80)
        assert not np.array_equal(one.matrix, other.matrix)
        assert one.gamma != other.gamma

    def test_draws_fill_their_ranges(self):
        drawn = [Affine().sample(seed=0, epoch=0, key=key, height=96, width=80) for key in range(500)]
        gains = np.array([p.gain for p in drawn])
        offsets = np.array([p.offset for p in drawn])
        gammas = np.log([p.gamma for p in drawn])
        for values, centre, reach in ((gains, 1, 0.15), (offsets, 0, 0.1), (gammas, 0, 0.2)):
            assert np.abs(values - centre).max() <= reach
            assert np.abs(values - centre).max() > 0.98 * reach
            # of 500 uniform values the mean has a standard error of reach / sqrt(3 * 500) = 0.026 reach
            assert abs(values.mean() - centre) < 0.1 * reach

    def test_rotation_alone_keeps_lengths_and_the_centre(self):
        matrix = Affine(**{**STILL, "rotation_degrees": 30.0}).sample(**DRAW, height=96, width=80).matrix
        assert np.allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2))
        assert np.allclose(matrix @ [39.5, 47.5, 1], [39.5, 47.5])
        assert abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) <= 30

    def test_scale_alone_is_a_factor_within_its_range(self):
        zooms = [
            1 / Affine(**{**STILL, "scale": 0.2}).sample(seed=0, epoch=0, key=k, height=96, width=80).matrix[0, 0]
            for k in range(50)
        ]
        assert 0.8 <= min(zooms) < 0.9
        assert 1.1 < max(zooms) <= 1.2

    def test_shift_is_a_share_of_each_side(self):
        moves = np.array(
            [
                Affine(**{**STILL, "shift": 0.1}).sample(seed=0, epoch=0, key=k, height=100, width=50).matrix[:, 2]
                for k in range(200)
            ]
        )
        # (x, y): 0.1 * 50 = 5 and 0.1 * 100 = 10 pixels at most
        assert 4.5 < np.abs(moves[:, 0]).max() <= 5
        assert 9 < np.abs(moves[:, 1]).max() <= 10

    def test_half_of_the_samples_are_flipped_at_one_half(self):
        flips = [
            Affine(**STILL, flip=0.5).sample(seed=0, epoch=0, key=k, height=8, width=8).matrix[0, 0] < 0
            for k in range(400)
        ]
        assert 160 < sum(flips) < 240  # 200, standard deviation 10


class TestCv2:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_nothing_drawn_changes_nothing(self, dtype):
        levels = np.arange(256 * 256).reshape(256, 256) % (np.iinfo(dtype).max + 1)
        image, masks = levels.astype(dtype), np.stack([levels % 3 == 0]).astype(np.uint8)
        out, moved = Affine(**STILL)(image, masks, **DRAW)
        assert out.dtype == dtype
        assert np.array_equal(out, image)
        assert np.array_equal(moved, masks)

    def test_a_sure_flip_is_a_mirror_image(self):
        out, moved = Affine(**STILL, flip=1.0)(smooth(), discs(), **DRAW)
        assert np.array_equal(out, smooth()[:, ::-1])
        assert np.array_equal(moved, discs()[:, :, ::-1])

    def test_image_and_mask_move_together(self):
        # the image is its own mask: where they part after the map is at the borders of the discs only
        masks = discs()[:1]
        spatial = Affine(gain=0, offset=0, gamma=0, rotation_degrees=20, shift=0.1)
        out, moved = spatial(masks[0] * np.uint8(255), masks, **DRAW)
        assert not np.array_equal(moved, masks)
        apart = (out > 127) != (moved[0] > 0)
        assert not cv2.erode(apart.astype(np.uint8), np.ones((3, 3))).any()

    def test_a_mask_gains_nothing_by_reflection(self):
        # a full mask can only lose what is shifted out; the image is reflected and has no black border
        out, moved = Affine(**{**STILL, "shift": 0.3})(
            np.full((64, 64), 200, np.uint8), np.ones((1, 64, 64), np.uint8), **DRAW
        )
        drawn = Affine(**{**STILL, "shift": 0.3}).sample(**DRAW, height=64, width=64)
        dx, dy = np.abs(drawn.matrix[:, 2])
        assert moved.sum() == pytest.approx((64 - dx) * (64 - dy), abs=64)
        assert moved.sum() < 64 * 64
        assert (out == 200).all()

    def test_exposure_follows_its_formula(self):
        affine = Affine(**{**STILL, "gain": 0.15, "offset": 0.1, "gamma": 0.2})
        drawn = affine.sample(**DRAW, height=16, width=16)
        image = np.arange(256, dtype=np.uint8).reshape(16, 16)
        out, _ = affine(image, np.zeros((0, 16, 16), np.uint8), **DRAW)
        expected = np.clip(drawn.gain * (image / 255) ** drawn.gamma + drawn.offset, 0, 1) * 255
        assert np.abs(out - expected).max() <= 0.501  # rounding

    def test_16_bits_stay_16_bits_deep(self):
        image = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        out, _ = Affine(**{**STILL, "gamma": 0.2})(image, np.zeros((0, 256, 256), np.uint8), **DRAW)
        assert out.dtype == np.uint16
        assert len(np.unique(out)) > 40_000

    def test_no_structures_are_no_trouble(self):
        _, moved = Affine()(smooth(), np.zeros((0, 96, 80), np.uint8), **DRAW)
        assert moved.shape == (0, 96, 80)

    def test_the_sample_given_is_left_as_it_was(self):
        image, masks = smooth(), discs()
        Affine()(image, masks, **DRAW)
        assert np.array_equal(image, smooth())
        assert np.array_equal(masks, discs())


@pytest.fixture(scope="module")
def both():
    """The same 20 draws by cv2 and by torch: images on the scale of 255, and masks."""
    affine = Affine(rotation_degrees=20, scale=0.2, shear_degrees=10, shift=0.1, flip=0.5)
    image, masks = smooth(), discs()
    singly = [affine(image, masks, seed=1, epoch=2, key=key) for key in range(20)]
    drawn = [affine.sample(seed=1, epoch=2, key=key, height=96, width=80) for key in range(20)]
    batch = torch.from_numpy(image / np.float32(255))[None, None].expand(20, 1, 96, 80)
    images, moved = affine.apply_batch(batch, torch.from_numpy(masks).expand(20, 2, 96, 80), drawn)
    return singly, images[:, 0].numpy() * 255, moved.numpy()


class TestTorch:
    def test_grey_values_agree_with_cv2_to_the_stated_tolerance(self, both):
        singly, images, _ = both
        apart = [np.abs(one.astype(float) - other).mean() for (one, _), other in zip(singly, images, strict=True)]
        assert max(apart) < 0.5

    def test_no_single_grey_value_is_far_from_cv2(self, both):
        # 1/64 pixel off, where the wave climbs by 0.3 * 255 * 2 pi / 20 = 24 a pixel and gain and gamma add a third,
        # is half a level; and a half each for rounding twice: two levels as stated
        singly, images, _ = both
        assert max(np.abs(one.astype(float) - other).max() for (one, _), other in zip(singly, images, strict=True)) < 2

    def test_masks_differ_from_cv2_at_borders_only(self, both):
        singly, _, moved = both
        for (_, one), other in zip(singly, moved, strict=True):
            apart = (one != other).astype(np.uint8)
            assert apart.mean() < 0.002
            for k in range(2):
                border = cv2.dilate(one[k], np.ones((3, 3))) - cv2.erode(one[k], np.ones((3, 3)))
                assert not (apart[k] & ~border & 1).any()

    def test_shapes_and_dtypes_are_kept(self, both):
        _, images, moved = both
        assert (images.shape, moved.shape, moved.dtype) == ((20, 96, 80), (20, 2, 96, 80), np.uint8)

    def test_nothing_drawn_changes_nothing_but_rounding(self):
        affine = Affine(**STILL)
        image = torch.from_numpy(smooth() / np.float32(255))[None, None]
        mask = torch.from_numpy(discs())[None]
        out, moved = affine.apply_batch(image, mask, [affine.sample(**DRAW, height=96, width=80)])
        torch.testing.assert_close(out, image, atol=1e-5, rtol=0)
        assert torch.equal(moved, mask)


@pytest.mark.parametrize("wrong", [{"flip": 1.5}, {"flip": -0.1}, {"scale": 1.0}, {"scale": -0.1}], ids=str)
def test_ranges_out_of_bounds_are_refused(wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"{key}={value}"):
        Affine(**wrong)
