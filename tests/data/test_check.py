from __future__ import annotations

import pytest

from lungseg.data.check import Digests, duplicates, examine
from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.jsrt import JsrtSource
from lungseg.data.sources.mc_sh import McShSource
from lungseg.data.sources.montgomery import MontgomerySource


def test_a_sound_set_has_its_facts_and_no_problem(tmp_path):
    root = write_layout("montgomery", tmp_path, n=3, size=(96, 96)).root
    calls = []
    facts, index, digests = examine(MontgomerySource(root=str(root)), lambda *done: calls.append(done))
    assert index is not None
    assert (facts.problems, facts.unreadable, facts.warnings) == ([], [], [])
    assert (facts.n, facts.patients, facts.aside) == (3, 3, 0)
    assert facts.sizes == facts.mask_sizes == {"96 x 96": 3}
    assert facts.depths == {"8 bits": 3}
    assert list(facts.masks) == ["lungs", "right_lung", "left_lung"]
    lungs, right, left = facts.masks.values()
    assert (lungs.n, lungs.empty, lungs.not_binary) == (3, 0, 0)
    assert lungs.area == pytest.approx(right.area + left.area)
    assert sum(facts.sexes.values()) == 3
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert len(digests) == 3


def test_12_bits_and_mishaps_are_told(tmp_path):
    root = write_layout(
        "jsrt_png", tmp_path, n=4, size=(96, 96), nasty=["twelve_bit", "missing_mask", "duplicate"]
    ).root
    facts, index, digests = examine(JsrtSource(root=str(root)))
    assert index is not None
    assert "1 of 5 radiographs" in facts.problems[0]
    assert facts.depths == {"12 bits": 4}
    same_files, same_pixels = duplicates(digests)
    # three with a nodule, then the one without a mask, then the copy of the first
    assert same_files == [["jsrt/JPCLN001", "jsrt/JPCNN002"]]
    assert same_pixels == []


def test_a_set_that_is_not_found_has_its_tree_and_the_reason(tmp_path):
    facts, index, digests = examine(MontgomerySource(search=str(tmp_path)))
    assert (index, digests) == (None, [])
    assert "no complete copy" in facts.problems[0]
    assert "ManualMask/leftMask" in facts.expected


def test_inverted_files_are_warned_of_until_declared(tmp_path):
    root = write_layout("montgomery", tmp_path, n=2, size=(96, 96), nasty=["inverted"]).root
    facts, _, _ = examine(MontgomerySource(root=str(root)))
    assert len(facts.looks_inverted) == 2
    assert "data.sources.montgomery.inverted=true" in facts.warnings[0]
    facts, _, _ = examine(MontgomerySource(root=str(root), inverted=True))
    assert (facts.looks_inverted, facts.inverted) == ([], 2)


def test_swapped_sides_are_warned_of(tmp_path):
    root = write_layout("montgomery", tmp_path, n=1, size=(64, 64)).root
    masks = root / "ManualMask"
    (masks / "leftMask").rename(masks / "x")
    (masks / "rightMask").rename(masks / "leftMask")
    (masks / "x").rename(masks / "rightMask")
    facts, _, _ = examine(MontgomerySource(root=str(root)))
    assert "seem swapped in 1 radiographs: montgomery/MCUCXR_0001" in facts.warnings[0]


def test_images_kept_aside_are_read_too(tmp_path):
    written = write_layout("mc_sh", tmp_path, n=4, size=(64, 64))
    (written.root / "CXR_png" / f"{written.without_mask[0]}.png").write_bytes(b"x")
    facts, _, _ = examine(McShSource(root=str(written.root)))
    assert (facts.n, facts.aside, len(facts.unreadable)) == (3, 1, 1)
    assert facts.masks["lungs"].not_binary == 3


def test_copies_in_other_files_are_found_by_their_pixels():
    digests = [Digests("a/1", "f1", "p"), Digests("b/1", "f2", "p"), Digests("b/2", "f3", "q")]
    assert duplicates(digests) == ([], [["a/1", "b/1"]])
