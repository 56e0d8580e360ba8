import numpy as np
import pytest

from lungseg.data.phantom.anatomy import LABELS
from lungseg.data.phantom.generator import IMAGES_PER_BLOCK, PATIENTS_PER_BLOCK, Phantom
from lungseg.data.phantom.hints import Hints
from lungseg.errors import ConfigError

SIZE = (96, 96)


def _same(a, b):
    return np.array_equal(a.pixels, b.pixels) and all(np.array_equal(a.masks[k], b.masks[k]) for k in a.masks)


@pytest.fixture(scope="module")
def samples():
    phantom = Phantom(0, SIZE)
    return [phantom.sample(i) for i in range(IMAGES_PER_BLOCK)]


def test_a_sample_depends_on_seed_and_index_only(samples):
    np.random.seed(1)  # noqa: NPY002  the global state must not matter
    fresh = Phantom(0, SIZE)
    for index in (11, 3, 7):  # another order than the fixture's
        assert _same(fresh.sample(index), samples[index])


def test_another_index_or_seed_gives_another_picture(samples):
    pictures = {sample.pixels.tobytes() for sample in samples} | {Phantom(1, SIZE).sample(0).pixels.tobytes()}
    assert len(pictures) == IMAGES_PER_BLOCK + 1


def test_facts_are_those_of_the_sample(samples):
    phantom = Phantom(0, SIZE)
    assert [phantom.facts(i) for i in range(IMAGES_PER_BLOCK)] == [sample.facts for sample in samples]


def test_a_block_has_nine_patients_of_one_to_four_images_and_three_of_each_label():
    facts = [Phantom(5, SIZE).facts(i) for i in range(IMAGES_PER_BLOCK, 2 * IMAGES_PER_BLOCK)]
    counts = np.bincount([f.subject - PATIENTS_PER_BLOCK for f in facts])
    assert sorted(counts.tolist()) == [1, 1, 1, 2, 2, 2, 2, 3, 4]  # 18 images
    labels = dict.fromkeys((f.subject, f.label) for f in facts)
    assert sorted(label for _, label in labels) == ["bilateral"] * 3 + ["lobar"] * 3 + ["normal"] * 3


def test_images_of_one_patient_share_sex_age_and_label():
    facts = [Phantom(2, SIZE).facts(i) for i in range(90)]
    by_patient = {}
    for f in facts:
        by_patient.setdefault(f.subject_id, set()).add((f.sex, f.age, f.label))
    assert all(len(found) == 1 for found in by_patient.values())


def test_the_right_lung_is_on_the_left_of_the_image(samples):
    for sample in samples:
        right, left = (np.nonzero(sample.masks[k])[1].mean() for k in ("right_lung", "left_lung"))
        assert right < left


@pytest.mark.parametrize("other", ["left_lung", "heart"])
def test_the_right_lung_overlaps_nothing(samples, other):
    assert not any((sample.masks["right_lung"] & sample.masks[other]).any() for sample in samples)


def test_the_left_lung_leaves_out_the_heart(samples):
    assert not any((sample.masks["left_lung"] & sample.masks["heart"]).any() for sample in samples)


def test_lungs_are_a_plausible_share_of_the_image(samples):
    shares = [(s.masks["right_lung"] | s.masks["left_lung"]).mean() for s in samples]
    assert min(shares) > 0.05
    assert max(shares) < 0.6
    assert 0.18 < float(np.mean(shares)) < 0.42  # 0.29 on JSRT


def test_opacities_leave_the_masks_alone(monkeypatch, samples):
    ill = next(i for i, s in enumerate(samples) if s.facts.label != "normal")
    monkeypatch.setattr("lungseg.data.phantom.render.draw_opacity", lambda *_: None)
    healthy = Phantom(0, SIZE).sample(ill)
    assert not np.array_equal(healthy.pixels, samples[ill].pixels)
    assert all(np.array_equal(healthy.masks[k], samples[ill].masks[k]) for k in healthy.masks)


def test_opacities_make_ill_lungs_denser(monkeypatch, samples):
    ill = [i for i, s in enumerate(samples) if s.facts.label != "normal"]
    monkeypatch.setattr("lungseg.data.phantom.imaging._objects", lambda *_, **__: None)
    with_disease = [Phantom(0, SIZE).sample(i) for i in ill]
    monkeypatch.setattr("lungseg.data.phantom.render.draw_opacity", lambda *_: None)
    without = [Phantom(0, SIZE).sample(i) for i in ill]
    spread = []
    for a, b in zip(with_disease, without, strict=True):
        lungs = a.masks["right_lung"] | a.masks["left_lung"]
        spread.append(a.pixels[lungs].astype(float).std() / max(b.pixels[lungs].astype(float).std(), 1))
    assert np.mean(spread) > 1.05  # the exposure follows the median, so disease shows as contrast inside the lungs


def test_lobar_disease_sits_on_one_side_and_bilateral_on_both(monkeypatch):
    shares = []

    def spy(*args):
        share = original(*args)
        shares.append(share)
        return share

    from lungseg.data.phantom import render

    original = render.draw_opacity
    monkeypatch.setattr(render, "draw_opacity", spy)
    seen = {"lobar": [], "bilateral": []}
    phantom = Phantom(3, SIZE)
    for index in range(IMAGES_PER_BLOCK):
        sample = phantom.sample(index)
        share = shares[-1]
        if sample.facts.label == "normal":
            assert share is None
            continue
        sides = [float(share[sample.masks[k]].mean()) for k in ("right_lung", "left_lung")]
        seen[sample.facts.label].append(min(sides) / max(sides))
    assert max(seen["lobar"]) < 0.1
    assert np.mean(seen["bilateral"]) > 0.25


def test_otsus_threshold_does_not_find_the_lungs():
    cv2 = pytest.importorskip("cv2")
    phantom, scores = Phantom(0, (128, 128)), []
    for index in range(40):
        sample = phantom.sample(index)
        _, bright = cv2.threshold(sample.pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        _, pieces = cv2.connectedComponents((bright == 0).astype(np.uint8), connectivity=4)
        edge = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
        found = (pieces > 0) & ~np.isin(pieces, edge)
        lungs = sample.masks["right_lung"] | sample.masks["left_lung"]
        scores.append(2 * (found & lungs).sum() / (found.sum() + lungs.sum()))
    assert np.mean(scores) < 0.75  # the bound is 0.80 over 200; 40 have a standard error of about 0.05


def test_twelve_bits_give_uint16_below_4096():
    deep = Phantom(0, SIZE, bits=12).sample(1)
    assert deep.pixels.dtype == np.uint16
    assert 255 < deep.pixels.max() <= 4095


def test_depth_does_not_change_the_picture(samples):
    deep = Phantom(0, SIZE, bits=12)
    apart = [np.abs(deep.sample(i).pixels / 4095 * 255 - samples[i].pixels).mean() for i in range(6)]
    assert min(apart) < 0.3  # rounding to whole levels moves a pixel by a quarter on average
    assert max(apart) < 6  # JPEG, which only 8-bit pictures go through, by a few


@pytest.mark.parametrize("size", [(61, 97), (97, 61), (33, 32)], ids=["wide", "tall", "tiny"])
def test_any_size_can_be_drawn(size):
    sample = Phantom(0, size).sample(0)
    assert sample.pixels.shape == size
    assert all(mask.shape == size and mask.dtype == bool for mask in sample.masks.values())


def test_another_size_shows_the_same_anatomy():
    cv2 = pytest.importorskip("cv2")
    small, large = Phantom(0, (96, 96)).sample(4), Phantom(0, (192, 192)).sample(4)
    assert small.facts.label == large.facts.label
    for name in ("right_lung", "heart"):
        shrunk = cv2.resize(large.masks[name].astype(np.float32), (96, 96), interpolation=cv2.INTER_AREA) >= 0.5
        a = small.masks[name]
        assert 2 * (a & shrunk).sum() / (a.sum() + shrunk.sum()) > 0.97


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [({"seed": -1}, "seed is -1"), ({"size": (16, 64)}, "at least 32"), ({"bits": 16}, "8 or 12")],
    ids=["seed", "size", "bits"],
)
def test_bad_settings_are_refused_with_the_key_to_change(kwargs, said):
    with pytest.raises(ConfigError, match=said) as caught:
        Phantom(**kwargs)
    assert "data.sources.phantom." in str(caught.value)


def test_an_index_below_zero_is_refused():
    with pytest.raises(IndexError, match="-1"):
        Phantom(0, SIZE).sample(-1)


def _lungs(sample):
    return sample.masks["right_lung"] | sample.masks["left_lung"]


class TestHints:
    """What a picture tells of its label outside the lungs."""

    @pytest.mark.parametrize("bits", [8, 12])
    @pytest.mark.parametrize("label", ["lobar", "bilateral"])
    def test_without_any_the_label_changes_the_lungs_only(self, monkeypatch, label, bits):
        def drawn(label):
            monkeypatch.setattr(Phantom, "_subject", lambda self, index: (index, label))
            return [Phantom(4, SIZE, bits=bits, hints=Hints(kind="none")).sample(i) for i in range(4)]

        for ill, healthy in zip(drawn(label), drawn("normal"), strict=True):
            lungs = _lungs(healthy)
            assert np.array_equal(_lungs(ill), lungs)
            assert np.array_equal(ill.pixels[~lungs], healthy.pixels[~lungs])
            assert (ill.pixels[lungs] != healthy.pixels[lungs]).mean() > 0.1
            assert (ill.facts.view, ill.facts.spacing_mm) == (healthy.facts.view, healthy.facts.spacing_mm)

    def test_without_any_the_healthy_are_as_usual(self, samples):
        plain = Phantom(0, SIZE, hints=Hints(kind="none"))
        healthy = [i for i, s in enumerate(samples) if s.facts.label == "normal"]
        assert all(_same(plain.sample(i), samples[i]) for i in healthy)

    def test_a_mark_changes_its_corner_only(self):
        plain, marked = (
            Phantom(0, SIZE, bits=12, hints=Hints(kind=kind, mark_chance=1.0)) for kind in ("none", "mark")
        )
        index = next(i for i in range(IMAGES_PER_BLOCK) if marked.facts(i).marked)
        before, after = plain.sample(index), marked.sample(index)
        corner = np.zeros(SIZE, bool)
        corner[88:, 88:] = True  # a square of 96 / 16 = 6 pixels with a rim of 1 on every side
        assert np.array_equal(after.pixels[~corner], before.pixels[~corner])
        assert (after.pixels[89:95, 89:95] == 4095).all()
        assert (after.pixels[88, 88:] == 0).all()

    def test_the_mark_follows_its_label_by_the_given_chances(self):
        facts = [Phantom(0, SIZE, hints=Hints(kind="mark", mark_label="lobar")).facts(i) for i in range(900)]
        share = {label: np.mean([f.marked for f in facts if f.label == label]) for label in LABELS}
        assert share["lobar"] == pytest.approx(0.9, abs=0.05)  # 300 images: a standard error of 0.017
        assert share["normal"] == pytest.approx(0.05, abs=0.04)
        assert share["bilateral"] == pytest.approx(0.05, abs=0.04)

    def test_the_mark_is_drawn_from_seed_and_index_alone(self):
        few, many = (Hints(kind="mark", mark_chance=chance, mark_chance_others=chance) for chance in (0.3, 0.6))
        marked = [[Phantom(0, SIZE, hints=hints).facts(i).marked for i in range(60)] for hints in (few, many)]
        assert [Phantom(0, SIZE, hints=few).facts(i).marked for i in reversed(range(60))][::-1] == marked[0]
        assert all(more for fewer, more in zip(*marked, strict=True) if fewer)

    def test_the_box_around_the_lungs_seldom_covers_the_mark(self):
        phantom, kept = Phantom(0, SIZE, hints=Hints(kind="mark")), []
        for index in range(2 * IMAGES_PER_BLOCK):
            rows, columns = np.nonzero(_lungs(phantom.sample(index)))
            hidden = max(0, rows.max() - 88) * max(0, columns.max() - 88)  # of the square in rows and columns 89..94
            kept.append(1 - min(hidden, 36) / 36)
        assert np.mean(kept) > 0.95

    def test_the_usual_ones_are_there_unless_told_otherwise(self, samples):
        assert not any(sample.facts.marked for sample in samples)
        assert all(_same(Phantom(0, SIZE, hints=Hints()).sample(i), samples[i]) for i in (0, 5))
