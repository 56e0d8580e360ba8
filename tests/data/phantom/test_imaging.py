from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lungseg.data.phantom.imaging import Exposure, burn_mark, develop, draw_exposure, finish
from lungseg.data.phantom.render import Rendering

SIZE = (60, 80)
PLAIN = Exposure(
    lung=0.3, tissue=0.8, air=0.05, top=0.95, bend=0.0, local=0.0, scatter=0.0, blur=0.0, noise=0.0, tilt=(0.0, 0.0),
    drift=0.0, quality=None,
)  # fmt: skip
LUNG, HEART, AIR = (30, 15), (30, 40), (5, 5)
"""A pixel well inside each."""


class Calm(np.random.Generator):
    """Draws `value` wherever a finish rolls its dice; 0.99 lets nothing happen."""

    def __init__(self, value=0.99):
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size=None):
        return self.value if size is None else np.full(size, self.value)


@pytest.fixture
def rendering():
    """Two lungs of 0.4 and a heart of 1.0 in a body of 0.9 with air around."""
    a = np.zeros(SIZE, np.float32)
    masks = {name: np.zeros(SIZE, bool) for name in ("right_lung", "left_lung", "heart")}
    a[10:, 5:75] = 0.9
    for name, columns in (("right_lung", slice(8, 24)), ("left_lung", slice(56, 72)), ("heart", slice(30, 50))):
        masks[name][15:45, columns] = True
        a[masks[name]] = 1.0 if name == "heart" else 0.4
    return Rendering(attenuation=a, masks=masks, body=(a > 0).astype(np.float32))


@pytest.fixture(scope="module")
def exposures():
    return [draw_exposure(np.random.default_rng(seed)) for seed in range(300)]


class TestDrawExposure:
    def test_levels_rise_from_air_over_lung_to_tissue(self, exposures):
        assert all(found.air <= found.lung - 0.11 + 1e-9 for found in exposures)
        assert all(found.tissue >= found.lung + 0.16 - 1e-9 for found in exposures)

    def test_a_third_has_been_compressed(self, exposures):
        share = np.mean([found.quality is not None for found in exposures])
        assert abs(share - 0.35) < 0.1  # standard deviation sqrt(0.35 * 0.65 / 300) = 0.028

    def test_the_same_generator_draws_the_same_exposure(self):
        assert draw_exposure(np.random.default_rng(2)) == draw_exposure(np.random.default_rng(2))


class TestDevelop:
    def test_lung_and_heart_get_their_display_levels(self, rendering):
        v = develop(rendering, PLAIN, np.random.default_rng(0))
        # the film curve is smoothed over 37 of 512 steps, which bends it a little at its knots
        assert float(v[LUNG]) == pytest.approx(0.3, abs=0.03)
        assert float(v[HEART]) == pytest.approx(0.8, abs=0.03)

    def test_direct_exposure_gets_its_own_level(self, rendering):
        v = develop(rendering, PLAIN, np.random.default_rng(0))
        assert float(v[AIR]) == pytest.approx(0.05, abs=0.02)

    def test_more_attenuation_is_never_darker(self, rendering):
        a = np.tile(np.linspace(0, 1.6, SIZE[1], dtype=np.float32), (SIZE[0], 1))
        a[rendering.masks["heart"]], a[rendering.masks["right_lung"] | rendering.masks["left_lung"]] = 1.0, 0.4
        for bend in (-0.3, 0.3):
            exposure = dataclasses.replace(PLAIN, bend=bend)
            v = develop(dataclasses.replace(rendering, attenuation=a), exposure, np.random.default_rng(0))
            assert np.all(np.diff(v[0]) >= -1e-6)  # row 0 lies above all organs

    def test_values_stay_in_range_however_noisy_the_film_is(self, rendering):
        v = develop(rendering, dataclasses.replace(PLAIN, noise=0.8), np.random.default_rng(0))
        assert (float(v.min()), float(v.max())) == (0.0, 1.0)

    def test_noise_has_the_strength_asked_for(self, rendering):
        clean, noisy = (
            develop(rendering, dataclasses.replace(PLAIN, noise=noise), np.random.default_rng(0))
            for noise in (0.0, 0.02)
        )
        heart = rendering.masks["heart"]
        # noise * (0.4 + v) with v = 0.8 is 0.02 * 1.2 = 0.024
        assert float((noisy - clean)[heart].std()) == pytest.approx(0.024, rel=0.15)

    def test_scatter_takes_contrast_away(self, rendering):
        sharp, flat = (
            develop(rendering, dataclasses.replace(PLAIN, scatter=share), np.random.default_rng(0))
            for share in (0.0, 0.35)
        )
        assert flat[HEART] - flat[LUNG] < sharp[HEART] - sharp[LUNG]

    def test_a_tilt_brightens_one_edge_and_darkens_the_other(self, rendering):
        tilted = develop(rendering, dataclasses.replace(PLAIN, tilt=(0.0, 0.1)), np.random.default_rng(0))
        assert tilted[30, 16] < tilted[30, 64]  # the same place in both lungs

    def test_a_picture_without_organs_is_developed_too(self, rendering):
        empty = {name: np.zeros(SIZE, bool) for name in rendering.masks}
        v = develop(dataclasses.replace(rendering, masks=empty), PLAIN, np.random.default_rng(0))
        assert np.isfinite(v).all()

    def test_the_rendering_stays_as_it_was(self, rendering):
        before = rendering.attenuation.copy()
        develop(rendering, dataclasses.replace(PLAIN, noise=0.1, tilt=(0.1, 0.1)), np.random.default_rng(0))
        assert np.array_equal(rendering.attenuation, before)


class TestFinish:
    def test_nothing_happens_when_no_die_falls(self, rendering):
        v = np.full(SIZE, 0.5, np.float32)
        assert np.array_equal(finish(v.copy(), rendering, PLAIN, Calm(), sick=True), v)

    def test_the_same_generator_finishes_alike(self, rendering):
        a, b = (
            finish(np.full(SIZE, 0.5, np.float32), rendering, PLAIN, np.random.default_rng(4), sick=True)
            for _ in range(2)
        )
        assert np.array_equal(a, b)

    def test_values_stay_in_range(self, rendering):
        for seed in range(40):
            v = finish(np.full(SIZE, 0.9, np.float32), rendering, PLAIN, np.random.default_rng(seed), sick=True)
            assert 0 <= v.min() <= v.max() <= 1

    def test_the_beam_spares_the_lungs(self, rendering, monkeypatch):
        monkeypatch.setattr("lungseg.data.phantom.imaging._letters", lambda *_: None)
        monkeypatch.setattr("lungseg.data.phantom.imaging._objects", lambda *_, **__: None)
        lungs = rendering.masks["right_lung"] | rendering.masks["left_lung"]
        covered = 0
        for seed in range(60):
            v = finish(np.full(SIZE, 0.5, np.float32), rendering, PLAIN, np.random.default_rng(seed), sick=False)
            covered += int(np.mean(v != 0.5) > 0.05)
            # name plates (15 %) and a beam turned by a degree or two may touch a corner, and no more
            assert np.mean(np.abs(v[lungs] - 0.5) > 0.25) < 0.05
        assert covered > 10  # half of the pictures have a collimator

    def test_the_sick_have_more_lines_on_them(self, rendering, monkeypatch):
        monkeypatch.setattr("lungseg.data.phantom.imaging._letters", lambda *_: None)
        monkeypatch.setattr("lungseg.data.phantom.imaging._collimate", lambda *_: None)

        def touched(*, sick):
            inside = (slice(15, 45), slice(30, 50))  # the heart, where no frame reaches
            plane = np.full(SIZE, 0.5, np.float32)
            pictures = [
                finish(plane.copy(), rendering, PLAIN, np.random.default_rng(seed), sick=sick)[inside]
                for seed in range(80)
            ]
            return sum(bool((picture > 0.51).any()) for picture in pictures)

        assert touched(sick=True) > touched(sick=False)


def test_the_curve_is_measured_where_it_is_said(rendering):
    dense = dataclasses.replace(
        rendering, attenuation=np.where(rendering.attenuation == 0.4, 0.7, rendering.attenuation)
    )
    own, other = (develop(dense, PLAIN, np.random.default_rng(0), metered=m) for m in (None, rendering))
    assert own[LUNG] == pytest.approx(PLAIN.lung, abs=0.02)  # the film follows what the lungs let through
    assert other[LUNG] > own[LUNG] + 0.1  # half of the way from lung to heart
    assert other[HEART] == pytest.approx(PLAIN.tissue, abs=0.02)


@pytest.mark.parametrize(("size", "side", "rim"), [((32, 40), 4, 1), ((96, 96), 6, 1), ((256, 300), 16, 2)])
def test_a_mark_is_a_bright_square_with_a_dark_rim(size, side, rim):
    v = np.full(size, 0.5, np.float32)
    burn_mark(v)
    assert (v == 1).sum() == side**2
    assert (v == 0).sum() == (side + 2 * rim) ** 2 - side**2
    assert (v[-rim:, -1] == 0).all()
