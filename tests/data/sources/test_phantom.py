import pickle

import numpy as np
import pytest

from lungseg.data.phantom.generator import Phantom
from lungseg.data.phantom.hints import Hints
from lungseg.data.sources.phantom import PhantomSource
from lungseg.errors import ConfigError, DataError

SIZE = [64, 64]


def test_the_index_lists_n_rows_without_drawing(monkeypatch):
    monkeypatch.setattr(Phantom, "sample", None)
    index = PhantomSource(n=20, size=SIZE).index()
    assert [row["sample_id"] for row in index.rows[:2]] == ["phantom/00000", "phantom/00001"]
    assert len(index.rows) == 20


def test_rows_carry_the_facts_of_the_sample():
    row = PhantomSource(n=5, size=SIZE).index().rows[4]
    facts = Phantom(0, (64, 64)).facts(4)
    assert row["subject_id"] == f"phantom/{facts.subject_id}"
    assert (row["label"], row["sex"], row["age"], row["view"]) == (facts.label, facts.sex, facts.age, facts.view)


def test_image_and_masks_are_those_of_the_generator():
    source = PhantomSource(n=3, seed=5, size=SIZE)
    index = source.index()
    row, sample = index.rows[2], Phantom(5, (64, 64)).sample(2)
    assert np.array_equal(source.read_image(index.root, row).pixels, sample.pixels)
    masks = source.read_masks(index.root, row, ["lungs", "heart", "left_lung"])
    assert np.array_equal(masks[0], sample.masks["right_lung"] | sample.masks["left_lung"])
    assert np.array_equal(masks[1], sample.masks["heart"])
    assert np.array_equal(masks[2], sample.masks["left_lung"])


def test_twelve_bits_are_stretched_to_sixteen():
    source = PhantomSource(n=1, size=SIZE, bits=12)
    index = source.index()
    radiograph = source.read_image(index.root, index.rows[0])
    drawn = Phantom(0, (64, 64), bits=12).sample(0).pixels
    assert radiograph.bits == 12
    assert radiograph.pixels.dtype == np.uint16
    assert np.array_equal(radiograph.pixels, np.round(drawn * (65535 / 4095)))


def test_an_unknown_structure_is_refused_with_those_there_are():
    source = PhantomSource(n=1, size=SIZE)
    index = source.index()
    with pytest.raises(DataError, match="right_clavicle"):
        source.read_masks(index.root, index.rows[0], ["spine"])


def test_the_fingerprint_follows_seed_size_depth_hints_and_index():
    def prints(**kwargs):
        source = PhantomSource(n=2, **({"size": SIZE} | kwargs))
        return [source.fingerprint(row) for row in source.index().rows]

    found = prints() + prints(seed=1) + prints(size=[64, 72]) + prints(bits=12)
    found += prints(hints="none") + prints(hints="mark") + prints(hints="mark", mark_chance=0.8)
    assert len(set(found)) == 14
    assert prints() == found[:2]


def test_the_source_survives_pickling():
    source = pickle.loads(pickle.dumps(PhantomSource(n=2, size=SIZE)))
    assert len(source.index().rows) == 2


@pytest.mark.parametrize(
    "kwargs",
    [{"n": 0}, {"n": 2.5}, {"seed": -1}, {"size": [8, 8]}, {"bits": 10}, {"hints": "corner"}, {"mark_chance": 2}],
    ids=["none", "part", "seed", "size", "bits", "hints", "chance"],
)
def test_bad_settings_are_refused(kwargs):
    with pytest.raises(ConfigError, match=r"data\.sources\.phantom\."):
        PhantomSource(**kwargs)


def test_a_mark_is_drawn_and_counted_by_label():
    source = PhantomSource(n=36, size=SIZE, hints="mark", mark_label="lobar", mark_chance=1, mark_chance_others=0)
    index = source.index()
    lobar = [row for row in index.rows if row["label"] == "lobar"]
    assert index.notes[0].endswith(f"but a mark in a corner in {len(lobar)} images of lobar and 0 others")
    hints = Hints(kind="mark", mark_label="lobar", mark_chance=1, mark_chance_others=0)
    drawn = Phantom(0, (64, 64), hints=hints).sample(int(lobar[0]["image"][-5:]))
    assert drawn.facts.marked
    assert np.array_equal(source.read_image(index.root, lobar[0]).pixels, drawn.pixels)
