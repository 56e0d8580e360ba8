from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lungseg.data.sources.v7_join import choose_masks, entries_of, join_annotations, join_manifest, join_pngs
from lungseg.errors import DataError

SQUARE = [{"x": x, "y": y} for x, y in ((1, 1), (5, 1), (5, 5), (1, 5))]


def entries(tmp_path, *names):
    return entries_of([tmp_path / "images" / name for name in names], tmp_path / "images")


def annotation(path, name, *areas, url=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    found = [{"name": area, "polygon": {"path": SQUARE}} for area in areas]
    path.write_text(json.dumps({"image": {"original_filename": name, "url": url}, "annotations": found}))
    return path


def label_map(path, level):
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(path)
    return path


def test_keys_are_stems_and_paths_where_stems_are_not_unique(tmp_path):
    assert list(entries(tmp_path, "a.png", "b.png", "x/b.jpg")) == ["a", "b.png", "x/b.jpg"]


def test_an_annotation_is_joined_by_its_image_name_without_case_and_by_its_own_name(tmp_path):
    found = entries(tmp_path, "A.PNG", "17.png")
    paths = [annotation(tmp_path / "9.json", "a.png"), annotation(tmp_path / "17.json", "00000003.png")]
    assert join_annotations(paths, found, []) == []
    assert [found[key].annotation.path.name for key in ("A", "17")] == ["9.json", "17.json"]


def test_a_name_of_two_radiographs_joins_neither(tmp_path):
    found = entries(tmp_path, "b.png", "x/b.png")
    loose = annotation(tmp_path / "9.json", "b.png", "Lung")
    assert join_annotations([loose], found, []) == [loose]


def test_annotations_without_a_radiograph_are_handed_back_where_they_hold_polygons(tmp_path):
    found = entries(tmp_path, "a.png")
    paths = [annotation(tmp_path / "1.json", "gone.png", "Lung"), annotation(tmp_path / "2.json", "gone.png")]
    assert join_annotations(paths, found, []) == paths[:1]


def test_repeated_and_foreign_files_are_passed_over_with_a_note(tmp_path):
    found = entries(tmp_path, "a.png")
    paths = [annotation(tmp_path / folder / "1.json", "a.png", "Lung") for folder in ("all-images", "covid-only")]
    coco = tmp_path / "coco.json"
    coco.write_text('{"images": [], "annotations": []}')
    notes = []
    assert join_annotations([*paths, coco], found, notes) == []
    assert found["a"].annotation.path == paths[0]
    assert notes == [
        "1 annotation files repeat one of the same radiograph; the first by path is taken",
        "1 JSON files are no Darwin annotations and are passed over",
    ]


def test_damaged_annotations_are_counted(tmp_path):
    (tmp_path / "1.json").write_text("{")
    (tmp_path / "2.json").write_text("{}")
    with pytest.raises(DataError, match=r"1 of 2 annotation files cannot be used: .*1\.json"):
        join_annotations([tmp_path / "1.json", tmp_path / "2.json"], entries(tmp_path, "a.png"), [])


def test_a_manifest_joins_numbers_and_gives_tags_where_there_are_none(tmp_path):
    found = entries(tmp_path, "a.png", "b.png")
    found["b"].tags = ["View/PA"]
    table = tmp_path / "manifest.csv"
    table.write_text("image,mask_id,labels,view,patient\na.png,7,CT|COVID-19,Axial,12\nb.png,8,CT,,\ngone.png,9,,,\n")
    assert join_manifest(table, found) == {"7": "a", "8": "b"}
    assert found["a"].tags == ["CT", "COVID-19", "View/Axial", "PatientID:12"]
    assert found["b"].tags == ["View/PA"]


def test_a_manifest_without_its_columns_is_refused(tmp_path):
    table = tmp_path / "manifest.csv"
    table.write_text("file,mask\na.png,7\n")
    with pytest.raises(DataError, match="lacks the columns image and mask_id; it has file, mask"):
        join_manifest(table, entries(tmp_path, "a.png"))


def test_a_label_map_is_joined_by_number_by_manifest_or_by_name(tmp_path):
    found = entries(tmp_path, "a.png", "b.png", "c.png")
    join_annotations([annotation(tmp_path / "x.json", "a.png", url="https://v7/api/images/70/original")], found, [])
    paths = [tmp_path / f"{stem}.png" for stem in ("70", "71", "C", "99")]
    assert join_pngs(paths, found, {"71": "b"}) == [tmp_path / "99.png"]
    assert [found[key].png.stem for key in "abc"] == ["70", "71", "C"]


def test_two_label_maps_of_one_radiograph_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"1 radiographs have two masks: .*7\.png and a\.png \(a\)"):
        join_pngs([tmp_path / "7.png", tmp_path / "a.png"], entries(tmp_path, "a.png"), {"7": "a"})


def test_polygons_serve_where_there_is_no_label_map_if_they_may(tmp_path):
    for polygons, expected in ((True, 1), (False, 0)):
        found = entries(tmp_path, "a.png", "b.png", "c.png")
        files = [annotation(tmp_path / f"{name}.json", f"{name}.png", *areas) for name, areas in (("a", ["Lung"]),)]
        join_annotations(files, found, [])
        found["b"].png = label_map(tmp_path / "b.png", 127)
        found["c"].png = label_map(tmp_path / "c.png", 3)
        assert choose_masks(found, polygons=polygons) == expected
        assert found["a"].mask == (files[0] if polygons else None)
        assert found["a"].levels == (frozenset({255}) if polygons else None)
        assert (found["b"].mask, found["b"].levels) == (tmp_path / "b.png", frozenset({127}))
        # a map that cannot be used is refused by name when its pixels are read
        assert (found["c"].mask, found["c"].levels) == (tmp_path / "c.png", None)
