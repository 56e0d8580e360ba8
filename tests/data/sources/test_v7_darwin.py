from __future__ import annotations

import json
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest

from lungseg.data.phantom.generator import Phantom
from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.v7_darwin import V7DarwinSource
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError

SIZE = (56, 64)
MAPS = "annotations/all-images-semantic-masks"
LAYOUTS = ("v7_darwin", "v7_darwin_json", "v7_darwin_v2")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Eight pictures in each of the three layouts; not to be written to."""
    return {name: write_layout(name, tmp_path_factory.mktemp(name), n=8, size=SIZE).root for name in LAYOUTS}


@pytest.fixture
def root(written, tmp_path):
    """A copy of the layout with label maps that a test may change."""
    return shutil.copytree(written["v7_darwin"], tmp_path / "v7-darwin")


def frontal(root, **options):
    return V7DarwinSource(root=str(root), drop=["ct", "lateral"], **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_bear_the_facts_of_tags_and_file_names(written, layout):
    rows = {row["sample_id"].split("/")[1]: row for row in frontal(written[layout]).index().rows}
    assert len(rows) == 6
    facts = Phantom(0, SIZE).facts(0)
    adult = rows["16001_1_1"]
    assert (adult["label"], adult["view"], adult["sex"], adult["age"]) == (
        "covid-19",
        facts.view,
        facts.sex,
        float(facts.age),
    )
    assert adult["subject_id"] == f"v7_darwin/{int(facts.subject_id[1:])}"
    child = next(row for stem, row in rows.items() if stem.startswith("person"))
    assert child["subject_id"] == f"v7_darwin/{child['sample_id'].split('/')[1].split('_')[0]}"
    assert child["label"] in ("viral pneumonia", "bacterial pneumonia")


def test_masks_are_label_maps_with_ignore_left_out(written):
    source = frontal(written["v7_darwin"])
    index = source.index()
    references = [source.read_reference(index.root, row, ["lungs"]) for row in index.rows]
    assert [reference.levels for reference in references].count(3) == 1
    for row, reference in zip(index.rows, references, strict=True):
        levels = cv2.imread(str(index.root / row["masks"]["lungs"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(reference.masks[0], levels == 255)
        if reference.levels == 3:
            np.testing.assert_array_equal(reference.valid, levels != 127)
        else:
            assert reference.valid is None


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_polygons_give_the_same_masks_as_label_maps(written, layout):
    maps, polygons = frontal(written["v7_darwin"]), frontal(written[layout])
    one, other = maps.index(), polygons.index()
    assert any("6 masks are drawn from the polygons" in note for note in other.notes)
    for row, same in zip(one.rows, other.rows, strict=True):
        a = maps.read_reference(one.root, row, ["lungs"])
        b = polygons.read_reference(other.root, same, ["lungs"])
        np.testing.assert_array_equal(a.masks, b.masks)
        np.testing.assert_array_equal(a.valid, b.valid)


def test_json_may_be_asked_for_where_both_are_there(written):
    source = frontal(written["v7_darwin"], masks="json")
    assert {row["masks"]["lungs"].rsplit(".", 1)[-1] for row in source.index().rows} == {"json"}


def test_png_alone_may_be_asked_for(written):
    with pytest.raises(DataError, match="6 of 8 radiographs"):
        frontal(written["v7_darwin_json"], masks="png").index()


def test_ct_and_lateral_pictures_are_an_error_that_says_how_to_leave_them_out(written):
    with pytest.raises(DataError, match="2 of 8 radiographs") as caught:
        V7DarwinSource(root=str(written["v7_darwin"])).index()
    assert "16003_1_1 (lateral), 16006_1_1 (CT)" in str(caught.value)
    assert "data.sources.v7_darwin.drop=[ct,lateral]" in str(caught.value)


def test_dropped_pictures_are_counted(written):
    index = frontal(written["v7_darwin"]).index()
    assert index.dropped == ["images/16003_1_1.png", "images/16006_1_1.png"]
    assert "1 CT slices and 1 lateral views are left out (drop)" in index.notes
    with pytest.raises(DataError, match=r"1 of 8 radiographs.*16003_1_1 \(lateral\)"):
        V7DarwinSource(root=str(written["v7_darwin"]), drop=["ct"]).index()


@pytest.mark.parametrize(("missing", "where"), [("drop", "dropped"), ("aside", "aside")])
def test_pictures_without_a_lung_follow_the_policy_for_missing_masks(written, missing, where):
    index = V7DarwinSource(root=str(written["v7_darwin"]), missing=missing).index()
    assert getattr(index, where) == ["images/16003_1_1.png", "images/16006_1_1.png"]
    assert len(index.rows) == 6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_mask_of_all_ignore_is_named_and_can_be_left_out(tmp_path, layout):
    root = write_layout(layout, tmp_path, n=2, size=SIZE, nasty=["all_ignore"]).root
    with pytest.raises(DataError, match=r"1 of 2 radiographs .*16001_1_1 \(only Ignore\)"):
        frontal(root).index()
    index = frontal(root, missing="drop").index()
    assert index.dropped == ["images/16001_1_1.png"]
    assert len(index.rows) == 1


def test_a_mask_that_became_all_ignore_is_refused_when_it_is_read(root):
    source = frontal(root)
    index = source.index()
    path = index.root / index.rows[0]["masks"]["lungs"]
    cv2.imwrite(str(path), np.full(SIZE, 127, np.uint8))
    with pytest.raises(DataError, match=r"is Ignore \(127\) in every pixel"):
        source.read_reference(index.root, index.rows[0], ["lungs"])


def test_a_mask_without_lung_and_without_a_tag_is_an_error(root):
    path = root / MAPS / "1676193.png"
    cv2.imwrite(str(path), np.zeros(SIZE, np.uint8))
    with pytest.raises(DataError, match=r"16001_1_1 \(no lung in its mask\)"):
        frontal(root).index()


def test_an_unknown_level_is_refused_by_file_and_value_when_it_is_read(root):
    path = root / MAPS / "1676193.png"
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    levels[0, :3] = (64, 65, 64)
    cv2.imwrite(str(path), levels)
    source = frontal(root)
    index = source.index()
    with pytest.raises(DataError, match=r"1676193\.png holds the levels 64, 65"):
        source.read_reference(index.root, index.rows[0], ["lungs"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_polygon_of_an_unknown_class_is_refused_by_its_name(tmp_path, layout):
    root = write_layout(layout, tmp_path, n=1, size=SIZE, nasty=["unknown_class"]).root
    with pytest.raises(DataError, match=r"1 of 1 annotation files .* holds a polygon of 'Heart'"):
        frontal(root).index()


def test_only_lungs_are_published(written):
    source = frontal(written["v7_darwin"])
    index = source.index()
    with pytest.raises(DataError, match=r"v7_darwin/16001_1_1: there is no mask of 'heart'; this sample has: lungs"):
        source.read_reference(index.root, index.rows[0], ["lungs", "heart"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_mask_of_another_size_is_refused(tmp_path, layout):
    root = write_layout(layout, tmp_path, n=1, size=SIZE, nasty=["wrong_mask_size"]).root
    source = frontal(root)
    index = source.index()
    # 56 - 56 // 4 = 42
    with pytest.raises(DataError, match=r"is 42 x 64, its radiograph .* is 56 x 64"):
        source.read_reference(index.root, index.rows[0], ["lungs"])


def test_a_radiograph_without_a_mask_is_an_error(root):
    (root / MAPS / "1676193.png").unlink()
    annotation = root / "annotations" / "all-images" / "1676193.json"
    content = json.loads(annotation.read_text())
    content["annotations"] = [entry for entry in content["annotations"] if "tag" in entry]
    annotation.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"1 of 8 radiographs in .* have no mask: 16001_1_1\. See"):
        frontal(root).index()


def test_a_label_map_that_is_missing_is_drawn_from_its_annotation(root):
    (root / MAPS / "1676193.png").unlink()
    index = frontal(root).index()
    assert index.rows[0]["masks"]["lungs"] == "annotations/all-images/1676193.json"
    assert "1 masks are drawn from the polygons of Darwin JSON files" in index.notes


def test_a_mask_without_a_radiograph_is_an_error_that_says_how_numbers_are_joined(root):
    (root / "images" / "16001_1_1.png").unlink()
    with pytest.raises(DataError, match=r"1 masks in .* have no radiograph: .*1676193\.png") as caught:
        frontal(root).index()
    assert "manifest.csv" in str(caught.value)
    assert len(frontal(root, missing="drop").index().rows) == 5


def test_an_annotation_without_a_radiograph_is_an_error_where_it_is_the_mask(written, tmp_path):
    root = shutil.copytree(written["v7_darwin_v2"], tmp_path / "v7")
    (root / "images" / "16001_1_1.png").unlink()
    with pytest.raises(DataError, match=r"1 masks in .* have no radiograph: annotations/16001_1_1\.json"):
        frontal(root).index()


def test_a_manifest_joins_masks_and_says_what_is_no_radiograph(root):
    stems = {}
    for path in (root / "annotations" / "all-images").iterdir():
        stems[path.stem] = json.loads(path.read_text())["image"]["original_filename"]
    shutil.rmtree(root / "annotations" / "all-images")
    lines = [f"{name},{number},{'CT' if '16006' in name else ''},{'L' if '16003' in name else 'PA'}" for number, name in
             stems.items()]  # fmt: skip
    (root / "manifest.csv").write_text("\n".join(["image,mask_id,labels,view", *lines]))
    index = frontal(root).index()
    assert (len(index.rows), len(index.dropped)) == (6, 2)
    assert {row["view"] for row in index.rows} == {"PA"}


def test_masks_of_equal_names_need_no_table(root):
    for path in (root / "annotations" / "all-images").iterdir():
        name = json.loads(path.read_text())["image"]["original_filename"]
        (root / MAPS / f"{path.stem}.png").rename(root / MAPS / name)
    shutil.rmtree(root / "annotations" / "all-images")
    with pytest.raises(DataError, match=r"2 of 8 radiographs .*16003_1_1 \(no lung in its mask\)"):
        V7DarwinSource(root=str(root)).index()
    assert len(V7DarwinSource(root=str(root), missing="drop").index().rows) == 6


def test_annotations_may_lie_elsewhere(root, tmp_path):
    other = tmp_path / "covid-19-xray-dataset"
    other.mkdir()
    (root / "annotations").rename(other / "annotations")
    with pytest.raises(DataError, match="no complete copy"):
        frontal(root).find()
    index = frontal(root, masks_root=str(other)).index()
    assert index.root == tmp_path
    SamplesTable.from_rows(index.rows).check_files({"v7_darwin": index.root})
    with pytest.raises(DataError, match=r"masks_root=.* holds no annotations"):
        frontal(root, masks_root=str(root)).index()


def test_the_layout_of_the_download_tool_is_read(written, tmp_path):
    root = tmp_path / "covid-19-chest-x-ray-dataset"
    shutil.copytree(written["v7_darwin_v2"] / "images", root / "images")
    shutil.copytree(written["v7_darwin_v2"] / "annotations", root / "releases" / "latest" / "annotations")
    source = V7DarwinSource(search=str(tmp_path), drop=["ct", "lateral"])
    assert len(source.index().rows) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"masks": "coco"}, "masks is 'coco'; it must be one of auto, png, json"),
        ({"drop": ["latreal"]}, "Did you mean lateral"),
        ({"drop": "ct"}, "must be a list out of [ct, lateral]"),
    ],
    ids=["masks", "near name", "text"],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ConfigError, match=r"data\.sources\.v7_darwin\.") as caught:
        V7DarwinSource(**options)
    assert said in str(caught.value)


@pytest.mark.data
def test_the_real_copy_has_100_radiographs_5_ct_slices_and_a_lateral_view(real_data):
    with pytest.raises(DataError, match=r"6 of 106 radiographs"):
        V7DarwinSource(search=str(real_data)).index()
    index = V7DarwinSource(search=str(real_data), drop=["ct", "lateral"]).index()
    assert (len(index.rows), len(index.dropped)) == (100, 6)
    assert "5 CT slices and 1 lateral views are left out (drop)" in index.notes
    labels = Counter(row["label"] for row in index.rows)
    assert labels == {"covid-19": 40, "bacterial pneumonia": 37, "viral pneumonia": 23}
    assert Counter(row["view"] for row in index.rows) == {None: 60, "AP": 23, "PA": 17}
    assert len({row["subject_id"] for row in index.rows}) == 87


@pytest.mark.data
def test_real_masks_leave_ignore_out_and_hold_more_than_the_air(real_data):
    source = V7DarwinSource(search=str(real_data), drop=["ct", "lateral"])
    index = source.index()
    left_out = 0
    for row in index.rows:
        reference = source.read_reference(index.root, row, ["lungs"])
        assert 0.15 < reference.masks.mean() < 0.6
        left_out += reference.valid is not None
    assert left_out == 5


@pytest.mark.data
def test_the_real_annotation_files_alone_give_40_radiographs(real_data):
    source = V7DarwinSource(search=str(real_data), drop=["ct", "lateral"], masks="json", missing="drop")
    index = source.index()
    assert len(index.rows) == 40
    reference = source.read_reference(index.root, index.rows[0], ["lungs"])
    assert reference.masks.any()
