from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lungseg.data.sources.darwin import IGNORE, LUNG, Polygon, draw, levels_of, read_darwin, read_label_map
from lungseg.errors import DataError


def square(low, high):
    return [{"x": x, "y": y} for x, y in ((low, low), (high, low), (high, high), (low, high))]


def first(annotations, **image):
    return {"image": {"width": 30, "height": 20, "original_filename": "a.png", **image}, "annotations": annotations}


def second(annotations, slots=None):
    slot = {"slot_name": "0", "width": 30, "height": 20, "source_files": [{"file_name": "a.png", "url": "x"}]}
    return {"version": "2.0", "item": {"name": "a.png", "slots": slots or [slot]}, "annotations": annotations}


def write(folder, content, name="7.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def drawn(path):
    found = read_darwin(path)
    return draw(found.polygons, found.size)


def test_a_file_of_version_1_gives_names_ids_size_and_tags(tmp_path):
    url = "https://darwin.v7labs.com/api/images/1676474/original?token=x"
    content = first([{"name": "View/PA", "tag": {}}], filename="00006716.jpg", url=url)
    found = read_darwin(write(tmp_path, content))
    assert found.names == ("a.png", "00006716.jpg")
    assert found.ids == ("7", "1676474")
    assert (found.size, found.tags, found.polygons) == ((20, 30), ("View/PA",), ())


def test_a_file_of_version_2_gives_the_same(tmp_path):
    found = read_darwin(write(tmp_path, second([{"name": "CT", "tag": {}}])))
    assert (found.names, found.ids, found.size, found.tags) == (("a.png",), ("7",), (20, 30), ("CT",))


@pytest.mark.parametrize(
    "content",
    [
        first([{"name": "Lung", "polygon": {"path": square(2, 17)}}]),
        first([{"name": "Lung", "complex_polygon": {"path": [square(2, 17)]}}]),
        second([{"name": "Lung", "polygon": {"paths": [square(2, 17)]}}]),
    ],
    ids=["polygon", "complex polygon", "version 2"],
)
def test_a_polygon_fills_its_edge_too(tmp_path, content):
    levels = drawn(write(tmp_path, content))
    assert levels.shape == (20, 30)
    # columns and rows 2 to 17, both included: 16 x 16
    assert (levels == LUNG).sum() == 256
    assert (levels[2:18, 2:18] == LUNG).all()


@pytest.mark.parametrize(
    "content",
    [
        first([{"name": "Lung", "complex_polygon": {"path": [square(2, 17), square(6, 13)]}}]),
        first([{"name": "Lung", "polygon": {"path": square(2, 17), "additional_paths": [square(6, 13)]}}]),
        second([{"name": "Lung", "polygon": {"paths": [square(2, 17), square(6, 13)]}}]),
    ],
    ids=["complex polygon", "additional paths", "version 2"],
)
def test_a_path_within_another_is_a_hole(tmp_path, content):
    levels = drawn(write(tmp_path, content))
    # the hole's own edge belongs to the lung, so 7 to 12 are left out: 256 - 36
    assert (levels == LUNG).sum() == 220
    assert not levels[7:13, 7:13].any()


def test_a_path_within_a_hole_is_filled_again(tmp_path):
    paths = [square(1, 18), square(4, 15), square(7, 12)]
    levels = drawn(write(tmp_path, second([{"name": "Lung", "polygon": {"paths": paths}}])))
    # 18 x 18 less the hole's inside of 10 x 10, and 6 x 6 in it
    assert (levels == LUNG).sum() == 324 - 100 + 36


def test_a_later_polygon_lies_over_an_earlier_one(tmp_path):
    lung, ignore = ({"name": n, "polygon": {"path": square(*p)}} for n, p in (("Lung", (2, 11)), ("Ignore", (5, 8))))
    over = drawn(write(tmp_path, first([lung, ignore])))
    assert ((over == LUNG).sum(), (over == IGNORE).sum()) == (84, 16)
    under = drawn(write(tmp_path, first([ignore, lung])))
    assert ((under == LUNG).sum(), (under == IGNORE).sum()) == (100, 0)


def test_points_between_pixels_and_outside_the_image_are_drawn_within_a_pixel_of_where_they_are():
    triangle = np.array([[-10.5, 5.25], [8.75, -3.5], [40.0, 90.0]])
    levels = draw([Polygon(LUNG, (triangle,))], (20, 30))
    y, x = np.mgrid[:20, :30].astype(float)
    edges = zip(triangle, np.roll(triangle, -1, axis=0), strict=True)
    # a point is inside where it lies on the same side of all three edges
    sides = [(b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) for a, b in edges]
    lengths = [np.hypot(*(b - a)) for a, b in zip(triangle, np.roll(triangle, -1, axis=0), strict=True)]
    distance = np.min([side / length for side, length in zip(sides, lengths, strict=True)], axis=0)
    # OpenCV draws an edge a pixel wide
    assert (levels[distance > 0.5] == LUNG).all()
    assert not levels[distance < -1.5].any()


def test_annotations_of_another_slot_are_left_out(tmp_path):
    slots = [{"slot_name": "front", "width": 30, "height": 20}, {"slot_name": "side", "width": 5, "height": 5}]
    areas = [
        {"name": "Lung", "slot_names": names, "polygon": {"paths": [square(*p)]}}
        for names, p in ((["front"], (1, 4)), (["side"], (10, 15)))
    ]
    found = read_darwin(write(tmp_path, second(areas, slots)))
    assert (found.size, len(found.polygons)) == ((20, 30), 1)


def test_other_json_files_are_passed_over(tmp_path):
    coco = {"images": [], "annotations": [], "categories": []}
    for content in (coco, [1, 2], {"image": {}}, "null"):
        assert read_darwin(write(tmp_path, content)) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON file"),
        ("[" * 100_000, "is no JSON file"),
        (first([{"name": "Heart", "polygon": {"path": square(1, 4)}}]), "holds a polygon of 'Heart'"),
        (first([{"name": "Lung", "bounding_box": {"x": 1}}]), "marks 'Lung' by a bounding_box"),
        (first([{"name": "Lung", "polygon": {"path": square(1, 4)[:2]}}]), "has 2 points"),
        (first([{"name": "Lung", "polygon": {"path": [{"x": 1}] * 3}}]), "KeyError: 'y'"),
        (first([{"name": "Lung", "polygon": {"path": square(1, 1e9)}}]), r"\(1e\+09, 1\)"),
        (first([{"name": "Lung", "polygon": {"path": square(1, float("nan"))}}]), r"\(nan, 1\)"),
        (first([{"polygon": {"path": square(1, 4)}}]), "KeyError: 'name'"),
        (first(["Lung"]), "AttributeError"),
        (first([], width="wide"), "no annotation file as V7"),
    ],
    ids=["cut", "deep", "class", "box", "two points", "no y", "far", "nan", "no name", "text", "size"],
)
def test_a_damaged_or_foreign_annotation_is_refused_by_its_file(tmp_path, content, said):
    with pytest.raises(DataError, match=said) as caught:
        read_darwin(write(tmp_path, content))
    assert str(tmp_path / "7.json") in str(caught.value)


def test_lines_and_keypoints_are_no_areas(tmp_path):
    other = [{"name": "Tube", "line": {"path": square(1, 4)}}, {"name": "Lung", "keypoint": {"x": 1, "y": 1}}]
    assert read_darwin(write(tmp_path, first(other))).polygons == ()


def test_a_label_map_is_read_in_grey_or_as_equal_channels(tmp_path):
    levels = np.zeros((10, 12), np.uint8)
    levels[2:5], levels[7:] = 127, 255
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([levels] * 3)).save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(read_label_map(tmp_path / name), levels)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.full((8, 8), 64, np.uint8), "holds the levels 64; a mask of this set has 0 .background., 127"),
        (np.arange(64, dtype=np.uint8).reshape(8, 8), "holds the levels 1, 2, 3, 4, 5 and 58 more"),
        (np.dstack([np.full((8, 8), v, np.uint8) for v in (255, 0, 0)]), "holds colours"),
    ],
    ids=["one level", "many levels", "colours"],
)
def test_a_label_map_of_other_levels_is_refused_by_file_and_values(tmp_path, pixels, said):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=said) as caught:
        read_label_map(tmp_path / "a.png")
    assert str(tmp_path / "a.png") in str(caught.value)


def test_levels_are_listed_lowest_first():
    assert levels_of(np.array([[255, 0], [127, 0]], np.uint8)) == [0, 127, 255]
    assert levels_of(np.array([[300, 7]], np.uint16)) == [7, 300]


@pytest.mark.data
def test_real_polygons_draw_the_published_label_maps(real_data):
    top = real_data / "v7-darwin" / "annotations"
    differing = []
    for path in sorted((top / "covid-only").glob("*.json")):
        found = read_darwin(path)
        levels = read_label_map(top / "all-images-semantic-masks" / f"{found.ids[-1]}.png")
        differing.append(int((draw(found.polygons, levels.shape) != levels).sum()))
    # two maps differ by some pixels along the edge of an Ignore area
    assert sorted(differing) == [0] * 44 + [5, 6]
