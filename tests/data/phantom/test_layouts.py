import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lungseg.data.phantom.generator import Phantom
from lungseg.data.phantom.layouts import LAYOUTS, write_layout
from lungseg.errors import ConfigError

SIZE = (48, 48)
WITHOUT_MASKS = (
    "qatar_covid_flat",
    "kermany",
    "kermany_mendeley",
    "nih_chestxray",
    "nih_chestxray_v2020",
    "class_folders",
    "label_table",
)


def _files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_jsrt_has_the_published_tree(tmp_path):
    written = write_layout("jsrt", tmp_path, n=3, size=SIZE)
    assert written.samples == {"JPCLN001": 0, "JPCLN002": 1, "JPCNN001": 2}
    masks = {
        f"{fold}/masks/{structure}/{stem}.gif"
        for stem, fold in (("JPCLN001", "fold1"), ("JPCLN002", "fold2"), ("JPCNN001", "fold1"))  # fold1 = odd
        for structure in ("right lung", "left lung", "heart", "right clavicle", "left clavicle")
    }
    images = {f"All247images/{stem}.IMG" for stem in written.samples}
    clinical = {"Clinical_Information/CLNDAT_EN.txt", "Clinical_Information/CNNDAT_EN.TXT"}
    assert _files(tmp_path) == masks | images | clinical


def test_jsrt_raw_files_are_headerless_big_endian_and_inverted(tmp_path):
    write_layout("jsrt", tmp_path, n=1, size=SIZE)
    data = (tmp_path / "All247images/JPCLN001.IMG").read_bytes()
    assert len(data) == 2048 * 2048 * 2
    raw = np.frombuffer(data, ">u2").reshape(2048, 2048)
    assert raw.max() <= 4095
    dense = cv2.resize(4095 - raw.astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_AREA)
    drawn = Phantom(0, SIZE, bits=12).sample(0).pixels.astype(np.float32)
    assert np.corrcoef(dense.ravel(), drawn.ravel())[0, 1] > 0.98


def test_jsrt_masks_are_palette_gifs_with_the_right_lung_on_the_image_left(tmp_path):
    write_layout("jsrt_png", tmp_path, n=1, size=SIZE)
    columns = []
    for side in ("right", "left"):
        with Image.open(tmp_path / f"fold1/masks/{side} lung/JPCLN001.gif") as image:
            assert (image.mode, image.size) == ("P", SIZE)
            columns.append(np.nonzero(np.asarray(image.convert("L")) > 127)[1].mean())
    assert columns[0] < columns[1]


def test_jsrt_clinical_tables_have_the_original_form(tmp_path):
    write_layout("jsrt_png", tmp_path, n=4, size=SIZE)
    nodules = (tmp_path / "Clinical_Information/CLNDAT_EN.txt").read_bytes()
    others = (tmp_path / "Clinical_Information/CNNDAT_EN.TXT").read_bytes()
    assert b"\n" not in nodules + others
    assert nodules.count(b"\r") == 1  # between two lines, none at the end
    facts = Phantom(0, SIZE).facts(0)
    cells = nodules.split(b"\r")[0].split(b"\t")
    assert cells[0] == b"JPCLN001.IMG"
    assert cells[3:5] == [str(facts.age).encode(), b"female" if facts.sex == "F" else b"male"]
    assert others.split(b"\r")[0].split()[-1] == b"non-nodule"


def test_montgomery_left_mask_lies_on_the_left_of_the_image(tmp_path):
    written = write_layout("montgomery", tmp_path, n=2, size=SIZE)
    assert written.root == tmp_path / "MontgomerySet"
    for stem, index in written.samples.items():
        with Image.open(written.root / f"ManualMask/leftMask/{stem}.png") as mask:
            assert mask.mode == "1"
            assert np.array_equal(np.asarray(mask), Phantom(0, SIZE).sample(index).masks["right_lung"])
        reading = (written.root / f"ClinicalReadings/{stem}.txt").read_bytes()
        assert reading.startswith(b"Patient's Sex: ")


def test_the_last_digit_of_a_tuberculosis_name_says_ill(tmp_path):
    written = write_layout("shenzhen", tmp_path, n=6, size=SIZE)
    for stem, index in written.samples.items():
        ill = Phantom(0, SIZE).facts(index).label != "normal"
        assert stem == f"CHNCXR_{index + 1:04d}_{int(ill)}"
        assert (written.root / f"mask/{stem}_mask.png").is_file()


def test_mc_sh_masks_have_many_grey_levels_and_some_are_absent(tmp_path):
    written = write_layout("mc_sh", tmp_path, n=4, size=(96, 96))
    files = _files(written.root)
    assert len(written.without_mask) == 1  # the third of eight
    assert len([f for f in files if f.startswith("CXR_png/")]) == 4
    masks = sorted(f for f in files if f.startswith("masks/"))
    assert len(masks) == 3
    assert [Path(m).stem.endswith("_mask") for m in masks] == [True, True, False]  # CHNCXR, CHNCXR, MCUCXR
    for name in masks:
        assert len(np.unique(cv2.imread(str(written.root / name), cv2.IMREAD_UNCHANGED))) > 100


def test_mc_sh_masks_threshold_to_the_drawn_ones(tmp_path):
    written = write_layout("mc_sh", tmp_path, n=1, size=(96, 96))
    (stem,) = written.samples
    mask = cv2.imread(str(written.root / f"masks/{stem}_mask.png"), cv2.IMREAD_UNCHANGED) > 127
    drawn = Phantom(0, (96, 96)).sample(0).masks
    lungs = drawn["right_lung"] | drawn["left_lung"]
    assert 2 * (mask & lungs).sum() / (mask.sum() + lungs.sum()) > 0.985


def test_a_folder_has_a_table_of_patients(tmp_path):
    written = write_layout("folder", tmp_path, n=5, size=SIZE)
    with (tmp_path / "patients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(r["image"]).stem for r in rows] == list(written.samples)
    facts = [Phantom(0, SIZE).facts(i) for i in range(5)]
    assert [(r["patient"], r["sex"], r["age"], r["view"], r["label"]) for r in rows] == [
        (f.subject_id, f.sex, str(f.age), f.view, f.label) for f in facts
    ]


@pytest.mark.parametrize("name", [n for n in LAYOUTS if n not in ("jsrt", *WITHOUT_MASKS)])
def test_a_missing_mask_is_missing(tmp_path, name):
    written = write_layout(name, tmp_path, n=2, size=SIZE, nasty=("missing_mask",))
    last = list(written.samples)[-1]
    assert written.without_mask == (last,)
    assert not [f for f in _files(tmp_path) if last in f and "mask" in f.lower()]


def test_twelve_bit_files_hold_values_below_4096_in_16_bits(tmp_path):
    write_layout("folder", tmp_path, n=1, size=SIZE, nasty=("twelve_bit",))
    (path,) = (tmp_path / "images").iterdir()
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, Phantom(0, SIZE, bits=12).sample(0).pixels)


def test_inverted_files_are_the_complement(tmp_path):
    for folder, nasty in (("plain", ("twelve_bit",)), ("turned", ("twelve_bit", "inverted"))):
        write_layout("folder", tmp_path / folder, n=1, size=SIZE, nasty=nasty)
    plain, turned = (
        cv2.imread(str(next((tmp_path / f / "images").iterdir())), cv2.IMREAD_UNCHANGED).astype(int)
        for f in ("plain", "turned")
    )
    assert (plain + turned == 4095).all()


def test_odd_sizes_differ_from_image_to_image_and_masks_follow(tmp_path):
    written = write_layout("shenzhen", tmp_path, n=3, size=(48, 40), nasty=("odd_sizes",))
    sizes = []
    for stem in written.samples:
        image = cv2.imread(str(written.root / f"CXR_png/{stem}.png"), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(written.root / f"mask/{stem}_mask.png"), cv2.IMREAD_UNCHANGED)
        assert image.shape == mask.shape
        sizes.append(image.shape)
    assert sizes == [(49, 41), (51, 47), (53, 53)]  # + 2 and + 6 from one to the next


def test_a_wrong_mask_size_is_three_quarters_high(tmp_path):
    written = write_layout("shenzhen", tmp_path, n=2, size=SIZE, nasty=("wrong_mask_size",))
    first, second = written.samples
    heights = [
        cv2.imread(str(written.root / f"mask/{s}_mask.png"), cv2.IMREAD_UNCHANGED).shape[0] for s in (first, second)
    ]
    assert heights == [36, 48]


@pytest.mark.parametrize("name", [n for n in LAYOUTS if n != "jsrt"])
def test_a_duplicate_is_the_same_bytes_under_another_name(tmp_path, name):
    written = write_layout(name, tmp_path, n=2, size=SIZE, nasty=("duplicate",))
    first, _, copy = written.samples
    assert written.samples[copy] == written.samples[first] == 0
    images = {
        p.stem: p for p in tmp_path.rglob("*.*g") if "mask" not in p.as_posix().removeprefix(str(tmp_path)).lower()
    }
    assert images[first].read_bytes() == images[copy].read_bytes()


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"name": "montgomry"}, "Did you mean 'montgomery'"),
        ({"name": "folder", "nasty": ("invertd",)}, "Did you mean 'inverted'"),
        ({"name": "folder", "n": 0}, "at least 1"),
        ({"name": "folder", "nasty": ("all_ignore",)}, "one of the V7 set's label maps"),
    ],
    ids=["layout", "nasty", "n", "nasty elsewhere"],
)
def test_unknown_requests_name_the_near_one(tmp_path, kwargs, said):
    with pytest.raises(ConfigError, match=said):
        write_layout(**({"root": tmp_path, "n": 1} | kwargs))
