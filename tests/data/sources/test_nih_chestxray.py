from __future__ import annotations

import logging
from collections import Counter

import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.nih_chestxray import FINDINGS, PAPER_COUNTS, NihChestXraySource
from lungseg.errors import ConfigError, DataError

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def line(image, findings="No Finding", *, age="058Y", sex="M", view="PA"):
    return f"{image}.png,{findings},0,{int(image[:8])},{age},{sex},{view},2682,2749,0.143,0.143"


def copy(root, *lines, header=HEADER, name="Data_Entry_2017.csv", images=None, end="\r\n", bom=False):
    """A set of files without pixels: indexing reads none."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for stem in [text.split(".png")[0] for text in lines] if images is None else images:
        (root / "images" / f"{stem}.png").write_bytes(b"png")
    text = end.join([header, *lines]) + end
    (root / name).write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))
    return root


def index(root, **options):
    return NihChestXraySource(root=str(root), **({"label_rule": "all"} | options)).index()


def stems(found):
    return [row["sample_id"].removeprefix("nih_chestxray/") for row in found.rows]


@pytest.mark.parametrize("layout", ["nih_chestxray", "nih_chestxray_v2020"])
def test_both_tables_and_both_ways_of_folders_are_read(tmp_path, layout):
    written = write_layout(layout, tmp_path, n=6, size=(32, 32))
    rows = index(written.root).rows
    assert stems(index(written.root)) == sorted(written.samples)
    assert {row["label"].split("|")[0] for row in rows} <= {"No Finding", "Consolidation", "Infiltration"}
    for row in rows:
        assert row["subject_id"] == f"nih_chestxray/{int(row['sample_id'].split('/')[1][:8])}"
        assert (row["official_split"] == "test") == (int(row["subject_id"].split("/")[1]) % 4 == 0)
        assert row["sex"] in ("F", "M")
        assert row["view"] in ("PA", "AP")
        assert 0 < row["age"] <= 95
        assert row["spacing_mm"] is None


def test_a_row_holds_what_the_table_says(tmp_path):
    root = copy(tmp_path, line("00000013_005", "Effusion|Mass", age="060Y", sex="F", view="AP"))
    (row,) = index(root).rows
    assert (row["label"], row["age"], row["sex"], row["view"]) == ("Effusion|Mass", 60.0, "F", "AP")
    assert row["image"] == "images/00000013_005.png"


def test_empty_cells_and_ages_of_months_and_plain_years_are_read(tmp_path):
    root = copy(
        tmp_path,
        line("00000001_000", age="", sex="", view=""),
        line("00000002_000", age="006M"),
        line("00000003_000", age="57"),
    )
    found = index(root).rows
    assert [row["age"] for row in found] == [None, 0.5, 57.0]
    assert (found[0]["sex"], found[0]["view"]) == (None, None)


def test_ages_of_four_centuries_count_as_unknown(tmp_path):
    found = index(copy(tmp_path, line("00000001_000", age="411Y"), line("00000001_001", age="095Y")))
    assert [row["age"] for row in found.rows] == [None, 95.0]
    assert "1 ages are above 130 years and count as unknown" in found.notes


def test_a_byte_order_mark_any_line_end_and_another_word_for_sex_are_fine(tmp_path):
    header = HEADER.replace("Patient Gender", "Patient Sex")
    for end in ("\n", "\r\n", "\r"):
        root = copy(tmp_path, line("00000001_000", sex="F"), header=header, end=end, bom=True)
        assert index(root).rows[0]["sex"] == "F"


def test_the_table_of_2020_goes_before_the_first_and_either_may_be_named(tmp_path):
    copy(tmp_path, line("00000001_000", "Mass"))
    copy(tmp_path, line("00000001_000", "Hernia"), name="Data_Entry_2017_v2020.csv")
    assert index(tmp_path).rows[0]["label"] == "Hernia"
    assert index(tmp_path, table="Data_Entry_2017.csv").rows[0]["label"] == "Mass"


RULED = ("Effusion", "Effusion|Mass", "Effusion|Hernia", "Hernia", "No Finding")


@pytest.mark.parametrize(
    ("rule", "taken"),
    [("subset", [0, 1]), ("any", [0, 1, 2]), ("all", [0, 1, 2, 3, 4])],
)
def test_the_rule_says_which_radiographs_are_taken(tmp_path, rule, taken):
    root = copy(tmp_path, *(line(f"{i + 1:08d}_000", text) for i, text in enumerate(RULED)))
    found = index(root, classes=["Effusion", "Mass"], label_rule=rule)
    assert [row["label"] for row in found.rows] == [RULED[i] for i in taken]
    assert found.notes[0] == (
        f"Data_Entry_2017.csv: 5 of the published 112120 radiographs; label_rule={rule} takes {len(taken)} of them"
    )


def test_the_papers_seven_classes_are_the_default_with_its_rule(tmp_path):
    root = copy(tmp_path, line("00000001_000", "Effusion|Mass"), line("00000002_000", "Mass|Hernia"))
    found = NihChestXraySource(root=str(root)).index()
    assert [row["label"] for row in found.rows] == ["Effusion|Mass"]
    assert found.notes[1].startswith("Effusion 1, Atelectasis 0, No Finding 0, Nodule 0, Mass 1, Pneumothorax 0")
    assert "the classification paper has Effusion 7200" in found.notes[1]


@pytest.fixture
def normals(tmp_path):
    """Nine radiographs without a finding, three of each of three patients, and one with a finding of each."""
    lines = [line(f"{p:08d}_{i:03d}", "No Finding" if i else "Mass") for p in (1, 2, 3) for i in range(4)]
    return copy(tmp_path, *lines)


def test_one_radiograph_without_a_finding_may_be_taken_of_each_patient(normals):
    found = index(normals, one_normal_per_patient=True)
    counts = Counter((row["subject_id"], row["label"]) for row in found.rows)
    assert counts == {(f"nih_chestxray/{p}", label): 1 for p in (1, 2, 3) for label in ("No Finding", "Mass")}
    assert "of which 6 are kept (6 without a finding left out)" in found.notes[0]


def test_another_seed_takes_others_and_the_same_the_same(normals):
    drawn = [tuple(stems(index(normals, one_normal_per_patient=True, draw_seed=seed))) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_normals_are_limited_after_the_patients(normals):
    found = index(normals, one_normal_per_patient=True, normals=2)
    assert Counter(row["label"] for row in found.rows) == {"Mass": 3, "No Finding": 2}
    assert len({row["subject_id"] for row in found.rows if row["label"] == "No Finding"}) == 2
    assert Counter(row["label"] for row in index(normals, normals=7).rows) == {"Mass": 3, "No Finding": 7}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [line("00000001_000"), line("00000002_000", "Effusion|Infiltrate")],
            "line 3: 'Infiltrate' is no finding of the set (did you mean 'Infiltration'?)",
        ),
        (
            [line("00000001_000"), line("00000002_000"), line("00000001_000")],
            "line 4: 00000001_000.png stands in line 2 already",
        ),
        ([line("00000001_000", "No Finding|Mass")], "line 2: the findings No Finding|Mass contradict themselves"),
        ([line("00000001_000", "Mass|Mass")], "line 2: the findings Mass|Mass contradict themselves"),
        ([line("00000001_000", "")], "line 2: '' is no finding"),
        ([line("00000001_000", age="old")], "line 2: 'old' is no age"),
        ([line("00000001_000", sex="X")], "line 2: 'X' is no sex"),
        ([line("00000001_000").replace(",1,", ",,")], "line 2: no image or no patient is named"),
        (["00000001_000.png,Mass,0"], "line 2: 3 cells, at least 7 are needed"),
    ],
    ids=["unknown label", "twice", "contradiction", "label twice", "no label", "age", "sex", "patient", "short"],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path, lines, said):
    with pytest.raises(DataError) as caught:
        index(copy(tmp_path, *lines))
    assert said in str(caught.value)
    assert "Data_Entry_2017.csv: 1 lines are wrong" in str(caught.value)


def test_many_wrong_lines_are_counted(tmp_path):
    with pytest.raises(DataError, match=r"7 lines are wrong: line 2.*and 2 more"):
        index(copy(tmp_path, *(line(f"{i:08d}_000", "Flu") for i in range(1, 8))))


def test_a_table_without_a_column_is_refused(tmp_path):
    header = HEADER.replace("Finding Labels", "Findings")
    with pytest.raises(DataError, match="has no column 'Finding Labels'; it has Image Index, Findings"):
        index(copy(tmp_path, line("00000001_000"), header=header))


def test_absent_radiographs_are_an_error_that_may_be_waived(tmp_path):
    root = copy(tmp_path, line("00000001_000"), line("00000002_000"), images=["00000001_000"])
    with pytest.raises(DataError, match=r"1 of 2 radiographs in .* 00000002_000\.png.*missing=drop"):
        index(root)
    found = index(root, missing="drop")
    assert (stems(found), found.dropped) == (["00000001_000"], ["00000002_000.png"])


def test_radiographs_that_the_table_does_not_list_are_an_error_that_may_be_waived(tmp_path):
    root = copy(tmp_path, line("00000001_000"), images=["00000001_000", "00000009_000"])
    with pytest.raises(DataError, match=r"1 of 2 radiographs are not in .*: 00000009_000\.png"):
        index(root)
    assert index(root, missing="drop").dropped == ["00000009_000.png"]


def test_a_radiograph_in_two_folders_is_refused(tmp_path):
    root = copy(tmp_path, line("00000001_000"))
    (root / "images_001" / "images").mkdir(parents=True)
    (root / "images_001" / "images" / "00000001_000.png").write_bytes(b"png")
    with pytest.raises(DataError, match="share their name"):
        index(root)


def test_without_lists_there_is_no_official_split(tmp_path):
    found = index(copy(tmp_path, line("00000001_000")))
    assert found.rows[0]["official_split"] is None
    assert "no official split: train_val_list.txt and test_list.txt are not there" in found.notes


def test_one_list_without_the_other_and_a_name_in_both_are_refused(tmp_path):
    root = copy(tmp_path, line("00000001_000"))
    (root / "test_list.txt").write_text("00000001_000.png\n")
    with pytest.raises(DataError, match=r"train_val_list\.txt is not in"):
        index(root)
    (root / "train_val_list.txt").write_text("00000001_000.png\n")
    with pytest.raises(DataError, match=r"1 radiographs are in both lists .*00000001_000\.png"):
        index(root)


def test_radiographs_in_no_list_and_patients_in_both_are_noted(tmp_path):
    root = copy(tmp_path, *(line(f"00000001_{i:03d}") for i in range(3)))
    (root / "test_list.txt").write_bytes(b"00000001_000.png\r\n")
    (root / "train_val_list.txt").write_text("00000001_001.png\n00000009_000.png\n")
    found = index(root)
    assert [row["official_split"] for row in found.rows] == ["test", "train_val", None]
    assert found.notes[-2:] == [
        "1 radiographs are in neither list of the official split",
        "1 patients are in both lists of the official split",
    ]


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """A set of a hundredth of the paper's, taken for complete."""
    hundredth = {name: count // 100 for name, count in PAPER_COUNTS.items()}
    names = [name for name, count in hundredth.items() for _ in range(count)]
    monkeypatch.setattr(NihChestXraySource, "complete", len(names))
    root = copy(tmp_path, *(line(f"{i + 1:08d}_000", name) for i, name in enumerate(names)))

    def index_whole(paper=(), **options):
        monkeypatch.setattr("lungseg.data.sources.nih_chestxray.PAPER_COUNTS", hundredth | dict(paper))
        NihChestXraySource(root=str(root), **options).index()

    return index_whole


@pytest.mark.parametrize(
    ("paper", "options", "said"),
    [
        ({}, {}, None),
        ({"Mass": 38, "Effusion": 70}, {}, None),  # 39 / 38 = +2.6 %, 72 / 70 = +2.9 %
        ({"Mass": 37}, {}, "Mass 39 (+5.4%)"),
        ({"Mass": 41}, {}, "Mass 39 (-4.9%)"),
        ({"No Finding": 9}, {}, None),  # without a limit the set has all of them
        ({}, {"normals": 50}, "No Finding 50 (-28.6%)"),
        ({"Mass": 37}, {"label_rule": "any"}, None),  # not the paper's rule
        ({"Mass": 37}, {"classes": ["Mass"]}, None),
    ],
    ids=["equal", "within 3 %", "more", "less", "all normals", "fewer normals", "rule", "classes"],
)
def test_a_complete_copy_warns_of_counts_more_than_3_percent_off(whole, caplog, paper, options, said):
    with caplog.at_level(logging.WARNING):
        whole(paper, **options)
    assert [said in message for message in caplog.messages] == ([] if said is None else [True])


def test_a_part_of_the_set_says_that_it_is_no_more(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        NihChestXraySource(root=str(copy(tmp_path, line("00000001_000", "Mass")))).index()
    (said,) = caplog.messages
    assert "Mass 1 (-100.0%)" in said
    assert "this copy has 1 of the 112,120 radiographs" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": ["Efusion"]}, "Did you mean 'Effusion'?"),
        ({"classes": []}, "must be a list"),
        ({"classes": "Mass"}, "must be a list"),
        ({"classes": ["Mass", "Mass"]}, "each once"),
        ({"label_rule": "some"}, "must be one of subset, any, all"),
        ({"normals": 0}, "must be at least 1"),
    ],
    ids=["near", "none", "text", "twice", "rule", "normals"],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ConfigError, match=r"data\.sources\.nih_chestxray\.") as caught:
        NihChestXraySource(**options)
    assert said in str(caught.value)


@pytest.mark.data
def test_the_real_part_of_the_set(real_data):
    found = NihChestXraySource(search=str(real_data), label_rule="all", classes=list(FINDINGS)).index()
    assert len(found.rows) == 520
    assert len({row["subject_id"] for row in found.rows}) == 359
    counts = Counter(name for row in found.rows for name in row["label"].split("|"))
    assert {name: counts[name] for name in ("No Finding", "Pneumonia", "Infiltration", "Atelectasis", "Edema")} == {
        "No Finding": 263,
        "Pneumonia": 243,
        "Infiltration": 106,
        "Atelectasis": 60,
        "Edema": 51,
    }
    assert Counter(row["official_split"] for row in found.rows) == {"train_val": 410, "test": 110}
    assert not any("both lists" in note or "neither list" in note for note in found.notes)
    assert Counter(row["view"] for row in found.rows) == {None: 493, "PA": 16, "AP": 11}
    assert sum(row["age"] is None for row in found.rows) == 493
    kinds = [NihChestXraySource(search=str(real_data), label_rule=rule).index() for rule in ("subset", "any")]
    assert [len(one.rows) for one in kinds] == [269, 384]
    assert len(NihChestXraySource(search=str(real_data), one_normal_per_patient=True).index().rows) == 182
