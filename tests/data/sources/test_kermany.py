from __future__ import annotations

import shutil
from collections import Counter

import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.kermany import KermanySource, read_name
from lungseg.errors import DataError


@pytest.fixture
def written(tmp_path):
    return write_layout("kermany", tmp_path / "sets", n=12, size=(32, 32))


@pytest.fixture
def root(written):
    return written.root


def index(root, **options):
    return KermanySource(root=str(root), **options).index()


@pytest.mark.parametrize(
    ("stem", "part", "label", "patient"),
    [
        ("person1_bacteria_1", "train", "bacteria", "train-person1"),
        ("person1_virus_6", "train", "virus", "train-person1"),
        ("person1_virus_6", "test", "virus", "test-person1"),
        ("person1946_bacteria_4874", "val", "bacteria", "train-person1946"),
        ("person1465_virus_2516_2517", "train", "virus", "train-person1465"),
        ("IM-0115-0001", "train", "normal", "im-115"),
        ("IM-0543-0001-0002", "train", "normal", "im-543"),
        ("NORMAL2-IM-0115-0001", "test", "normal", "normal2-im-115"),
        ("NORMAL2-IM-0246-0001-0002", "test", "normal", "normal2-im-246"),
        ("NORMAL-1049278-0001", "train", "normal", "1049278"),
        ("BACTERIA-1008087-0001", "train", "bacteria", "1008087"),
        ("VIRUS-1008087-0002", "test", "virus", "1008087"),
    ],
)
def test_a_name_tells_class_and_child(stem, part, label, patient):
    assert read_name(stem, part) == (label, patient)


@pytest.mark.parametrize("stem", ["person1", "person_bacteria_1", "scan", "NORMAL2-0115-0001", "COVID-12-1", "IM-0115"])
def test_other_names_tell_nothing(stem):
    assert read_name(stem, "train") is None


def test_all_radiographs_are_read_with_label_child_and_part(written):
    rows = index(written.root).rows
    assert len(rows) == 12
    words = {"bacteria": "_bacteria_", "virus": "_virus_", "normal": "IM-"}
    for row in rows:
        part, stem = row["sample_id"].removeprefix("kermany/").split("/")
        assert row["official_split"] == part == row["image"].split("/")[0]
        assert stem in written.samples
        assert words[row["label"]] in stem
        assert (row["view"], row["masks"]) == ("AP", {})
    assert Counter(row["official_split"] for row in rows) == {"train": 9, "test": 3}  # one of four


def test_the_same_number_is_one_child_in_train_and_another_in_test(tmp_path):
    rows = index(write_layout("kermany", tmp_path, n=18, size=(32, 32)).root).rows
    first = {row["subject_id"] for row in rows if row["sample_id"].split("/")[2].startswith("person1_")}
    assert first == {"kermany/train-person1", "kermany/test-person1"}


def test_mendeleys_names_keep_one_number_in_all_parts(tmp_path):
    rows = index(write_layout("kermany_mendeley", tmp_path, n=18, size=(32, 32)).root).rows
    assert {row["label"] for row in rows} == {"normal", "bacteria", "virus"}
    assert {row["official_split"] for row in rows} == {"train", "val", "test"}
    assert {row["subject_id"] for row in rows} == {f"kermany/{row['sample_id'].rsplit('-', 2)[1]}" for row in rows}
    parts = {}
    for row in rows:
        parts.setdefault(row["subject_id"], set()).add(row["official_split"])
    assert max(map(len, parts.values())) > 1  # the phantom's patients cross parts under one number


def test_owners_of_identical_files_count_as_one_child(tmp_path):
    written = write_layout("kermany", tmp_path, n=3, size=(32, 32), nasty=["duplicate"])
    found = index(written.root)
    by_stem = {row["sample_id"].rsplit("/", 1)[1]: row["subject_id"] for row in found.rows}
    first, *_, copy = written.samples
    assert by_stem[first] == by_stem[copy]
    assert any(note.startswith("1 groups of byte-identical files, 2 files in all") for note in found.notes)
    apart = {
        row["sample_id"].rsplit("/", 1)[1]: row["subject_id"] for row in index(written.root, merge_identical=False).rows
    }
    assert apart[first] != apart[copy]


def test_children_in_train_and_val_are_noted(root):
    train = next((root / "train" / "PNEUMONIA").iterdir())
    val = root / "val" / "PNEUMONIA"
    val.mkdir(parents=True)
    shutil.copy(train, val / f"{train.stem.rsplit('_', 1)[0]}_999.jpeg")
    assert any(
        note.startswith("1 children are both in the published train and val parts") for note in index(root).notes
    )


def test_counts_are_told_beside_the_published_ones(root):
    counts = Counter(row["label"] for row in index(root).rows)
    told = ", ".join(f"{name} {counts[name]}" for name in ("normal", "bacteria", "virus"))
    assert index(root).notes[0] == f"{told}; the complete set has normal 1583, bacteria 2780, virus 1493"
    assert "this copy has no val part" in index(root).notes


def test_folders_of_another_case_and_three_class_folders_are_read(root):
    for part in ("train", "test"):
        ill = root / part / "PNEUMONIA"
        for path in list(ill.iterdir()):
            home = root / part / ("Bacteria" if "bacteria" in path.name else "virus")
            home.mkdir(exist_ok=True)
            path.rename(home / path.name)
        ill.rmdir()
    (root / "train" / "NORMAL").rename(root / "train" / "Normal")
    assert len(index(root).rows) == 12


def test_a_nested_second_copy_is_passed_over(root):
    shutil.copytree(root, root.parent / "again")
    (root.parent / "again").rename(root / "chest_xray")
    assert len(KermanySource(search=str(root.parent.parent)).index().rows) == 12


def test_a_copy_without_a_test_part_is_not_complete(root):
    shutil.rmtree(root / "test")
    with pytest.raises(DataError, match="no complete copy of the paediatric pneumonia set"):
        index(root)


def test_names_that_tell_nothing_are_refused_with_what_to_do(root):
    path = next((root / "train" / "NORMAL").iterdir())
    path.rename(path.with_name("healthy.jpeg"))
    with pytest.raises(DataError, match=r"1 file names .* train/NORMAL/healthy\.jpeg") as caught:
        index(root)
    assert "data=class_folders" in str(caught.value)


def test_a_file_in_the_folder_of_another_class_is_refused(root):
    path = next((root / "train" / "NORMAL").iterdir())
    path.rename(root / "train" / "PNEUMONIA" / path.name)
    with pytest.raises(DataError, match=rf"1 files in .* train/PNEUMONIA/{path.stem}\.jpeg \(normal\)"):
        index(root)


def test_two_files_of_one_name_are_refused(root):
    path = next((root / "train" / "NORMAL").iterdir())
    shutil.copy(path, path.with_suffix(".png"))
    with pytest.raises(DataError, match="share their name"):
        index(root)


@pytest.mark.data
def test_the_real_set_at_224_pixels(real_data):
    found = KermanySource(search=str(real_data)).index()
    labels = Counter((row["official_split"], row["label"]) for row in found.rows)
    assert labels == {
        ("train", "normal"): 1341,
        ("train", "bacteria"): 2530,
        ("train", "virus"): 1345,
        ("test", "normal"): 234,
        ("test", "bacteria"): 242,
        ("test", "virus"): 148,
    }
    assert "30 groups of byte-identical files, 62 files in all; the patients of a group count as one" in found.notes
    # numbers that occur in both parts are different children
    people = {part: set() for part in ("train", "test")}
    for row in found.rows:
        if "person" in row["subject_id"]:
            people[row["official_split"]].add(row["subject_id"].rsplit("person", 1)[1])
    assert len(people["train"] & people["test"]) == 170
    parts = {}
    for row in found.rows:
        parts.setdefault(row["subject_id"], set()).add(row["official_split"])
    assert max(map(len, parts.values())) == 1
