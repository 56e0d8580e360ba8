from __future__ import annotations

import pickle

import numpy as np
import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.base import check_convention
from lungseg.data.sources.covid_qu_ex import CovidQuExSource
from lungseg.data.sources.jsrt import JsrtSource
from lungseg.data.sources.kermany import KermanySource
from lungseg.data.sources.mc_sh import McShSource
from lungseg.data.sources.montgomery import MontgomerySource
from lungseg.data.sources.nih_chestxray import NihChestXraySource
from lungseg.data.sources.qatar_covid import QatarCovidSource
from lungseg.data.sources.shenzhen import ShenzhenSource
from lungseg.data.sources.v7_darwin import V7DarwinSource
from lungseg.errors import ConfigError, DataError

SOURCES = {
    "jsrt_png": JsrtSource,
    "montgomery": MontgomerySource,
    "shenzhen": ShenzhenSource,
    "mc_sh": McShSource,
    "v7_darwin": V7DarwinSource,
    "v7_darwin_json": V7DarwinSource,
    "v7_darwin_v2": V7DarwinSource,
    "qatar_covid": QatarCovidSource,
    "covid_qu_ex": CovidQuExSource,
    "kermany": KermanySource,
    "nih_chestxray": NihChestXraySource,
    "nih_chestxray_v2020": NihChestXraySource,
}
WITHOUT_MASKS = ("kermany", "nih_chestxray", "nih_chestxray_v2020")
INSIDE = {
    "jsrt_png": "jsrt",
    "mc_sh": "chest-xray-masks-and-labels",
    "v7_darwin": "covid-19-xray-dataset",
    "v7_darwin_json": "v7-darwin",
    "v7_darwin_v2": "covid-19-chest-x-ray-dataset",
    "covid_qu_ex": "COVID-QU-Ex dataset",
    "nih_chestxray": "nih-chest-xrays",
    "nih_chestxray_v2020": "nih-chestxray",
}


@pytest.fixture(params=SOURCES)
def layout(request):
    return request.param


def home(layout, folder):
    """A data folder that holds the layout under a name it is published with."""
    return write_layout(layout, folder / INSIDE.get(layout, ""), n=2, size=(48, 56))


def test_a_set_is_found_below_the_data_folder(layout, tmp_path):
    written = home(layout, tmp_path / "sets")
    assert SOURCES[layout](search=str(tmp_path)).find() == written.root


def test_a_root_may_be_the_set_or_a_folder_around_it(layout, tmp_path):
    written = home(layout, tmp_path / "sets")
    assert SOURCES[layout](root=str(written.root)).find() == written.root
    assert SOURCES[layout](root=str(tmp_path)).find() == written.root


def test_two_complete_copies_are_listed_with_the_key_to_choose_one(layout, tmp_path):
    roots = [home(layout, tmp_path / copy).root for copy in ("one", "two")]
    source = SOURCES[layout](search=str(tmp_path))
    with pytest.raises(DataError, match="2 complete copies") as caught:
        source.find()
    for root in roots:
        assert f"data.sources.{source.name}.root={root}" in str(caught.value)


def test_no_data_folder_names_the_variable_and_the_key(layout, tmp_path):
    with pytest.raises(DataError, match="LUNGSEG_DATA") as caught:
        SOURCES[layout](search=str(tmp_path / "nowhere")).find()
    assert "paths.data=" in str(caught.value)
    assert "nowhere" in str(caught.value)


def test_an_empty_data_folder_gets_the_expected_tree_and_where_to_get_it(layout, tmp_path):
    source = SOURCES[layout](search=str(tmp_path))
    with pytest.raises(DataError, match="no complete copy") as caught:
        source.find()
    for line in source.expected_tree().splitlines():
        assert line in str(caught.value)
    assert source.home in str(caught.value)
    assert f"docs/datasets.md#{source.name}" in str(caught.value)


def test_a_root_that_is_no_folder_is_refused_by_its_key(layout, tmp_path):
    with pytest.raises(DataError, match=rf"data\.sources\.{SOURCES[layout].name}\.root=.*gone is not a folder"):
        SOURCES[layout](root=str(tmp_path / "gone")).find()


def test_sources_survive_pickling_and_touch_no_file_before_find(layout):
    source = pickle.loads(pickle.dumps(SOURCES[layout](root="/not/there", inverted=True)))
    assert (source.root, source.inverted) == ("/not/there", True)


def test_inverted_files_are_turned_when_declared(layout, tmp_path):
    upright, turned = home(layout, tmp_path / "a"), tmp_path / "b"
    negative = write_layout(layout, turned / INSIDE.get(layout, ""), n=2, size=(48, 56), nasty=["inverted"])
    images = []
    for root, inverted in ((upright.root, False), (negative.root, True)):
        source = SOURCES[layout](root=str(root), inverted=inverted)
        index = source.index()
        images.append(source.read_image(index.root, index.rows[0]).pixels.astype(int))
    # 8-bit files: 255 - round(255 v) and round(255 (1 - v)) may differ by one level, and JPEG adds its own loss
    assert np.abs(images[0] - images[1]).max() <= (4 if layout == "kermany" else 1)
    assert SOURCES[layout](inverted=True).reading() != SOURCES[layout]().reading()


def test_an_unknown_policy_for_missing_pairs_is_refused():
    with pytest.raises(ConfigError, match=r"data\.sources\.montgomery\.missing is 'skip'"):
        MontgomerySource(missing="skip")


def test_the_union_of_both_lungs_is_read(tmp_path):
    source = MontgomerySource(root=str(write_layout("montgomery", tmp_path, n=1, size=(48, 56)).root))
    index = source.index()
    lungs, right, left = source.read_masks(index.root, index.rows[0], ["lungs", "right_lung", "left_lung"])
    np.testing.assert_array_equal(lungs, right | left)
    assert right.any()
    assert left.any()


def test_a_structure_that_is_not_published_is_refused_with_the_sample(tmp_path):
    source = MontgomerySource(root=str(write_layout("montgomery", tmp_path, n=1, size=(48, 56)).root))
    index = source.index()
    with pytest.raises(DataError, match=r"montgomery/MCUCXR_0001_\d: there is no mask of 'heart'"):
        source.read_masks(index.root, index.rows[0], ["heart"])


def test_masks_with_many_levels_get_one_line_with_their_count(tmp_path):
    source = McShSource(root=str(write_layout("mc_sh", tmp_path, n=2, size=(64, 64)).root))
    index = source.index()
    reference = source.read_reference(index.root, index.rows[0], ["lungs"])
    assert (reference.files, reference.between) == (1, 1)
    assert reference.levels > 20
    note = source.levels_note(704, 700, 236)
    assert note is not None
    assert "700 of 704 masks are not binary (up to 236 grey levels)" in note
    assert source.levels_note(704, 0, 2) is None


def test_a_structure_of_which_no_row_has_a_mask_is_refused_with_those_to_ask_for(tmp_path):
    source = MontgomerySource(root=str(write_layout("montgomery", tmp_path, n=1, size=(48, 56)).root))
    rows = source.index().rows
    source.check_structures(rows, ["lungs", "left_lung"])
    with pytest.raises(
        DataError, match=r"data\.structures asks for heart, of which this copy .* has no masks"
    ) as caught:
        source.check_structures(rows, ["left_lung", "heart"])
    assert "it has lungs, right_lung, left_lung. Set data.structures=[left_lung] (see" in str(caught.value)


def test_radiographs_without_any_masks_may_be_asked_for_structures(tmp_path):
    written = write_layout("qatar_covid_flat", tmp_path, n=1, size=(48, 48))
    source = QatarCovidSource(root=str(written.root), masks=False)
    source.check_structures(source.index().rows, ["lungs"])


def test_every_source_of_lung_masks_says_whether_they_hold_the_part_behind_the_heart(layout):
    lungs = "with_heart" if layout.startswith("v7") else "without_heart"
    expected = None if layout in WITHOUT_MASKS else lungs
    assert SOURCES[layout]().convention == expected


def test_an_unknown_convention_is_refused_by_its_key():
    assert check_convention("key", None) is None
    with pytest.raises(
        ConfigError, match=r"data\.x\.convention is 'heart'; it must be one of without_heart, with_heart"
    ):
        check_convention("data.x.convention", "heart")


def test_sources_with_patients_in_common_name_each_other():
    named = {source.name: source.shares_patients_with for source in SOURCES.values()}
    assert all(name in named[other] for name, others in named.items() for other in others)
