"""Every source reads a set the same from a URL as from this machine."""

from __future__ import annotations

import numpy as np
import pytest

from lungseg import build
from lungseg.config import compose
from lungseg.data.phantom.layouts import LAYOUTS, write_layout
from lungseg.data.sources.layout import common_root
from lungseg.errors import DataError
from lungseg.remote.path import RemotePath

CONFIGS = {name: name for name in LAYOUTS} | {
    "jsrt_png": "jsrt", "v7_darwin_json": "v7_darwin", "v7_darwin_v2": "v7_darwin", "qatar_covid_flat": "qatar_covid",
    "kermany_mendeley": "kermany", "nih_chestxray_v2020": "nih_chestxray",
}  # fmt: skip
"""Layout -> data config."""
MORE = {
    "qatar_covid_flat": ["data.sources.qatar_covid.masks=false"],
    "class_folders": ["data.classes=[normal,effusion,lobar,bilateral]"],
    "label_table": ["data.classes=[effusion,lobar,bilateral]"],
}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LUNGSEG_CACHE", str(tmp_path / "cache"))


def source_of(config, root, *more):
    name = "folder" if config in ("class_folders", "label_table") else config
    return build.sources(compose("prepare", [f"data={config}", f"data.sources.{name}.root={root}", *more]))[name]


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "jsrt"])  # raw files of 8 MB
def test_a_remote_set_is_read_as_a_local_one(layout, tmp_path, bucket, put):
    top = tmp_path / "set"
    root = write_layout(layout, top, n=4, size=(64, 64)).root
    put(top, bucket / "set")
    remote = bucket / "set" / root.relative_to(top).as_posix()
    config, more = CONFIGS[layout], MORE.get(layout, [])
    here, there = source_of(config, root, *more), source_of(config, remote, *more)
    local, far = here.index(), there.index()
    assert isinstance(far.root, RemotePath)
    assert far.root.relative_to(bucket / "set").as_posix() == local.root.relative_to(top).as_posix()
    assert (far.rows, far.aside, far.dropped, far.notes) == (local.rows, local.aside, local.dropped, local.notes)
    assert far.rows
    row = far.rows[-1]
    np.testing.assert_array_equal(there.read_image(far.root, row).pixels, here.read_image(local.root, row).pixels)
    if row["masks"]:
        structures = list(row["masks"])
        np.testing.assert_array_equal(
            there.read_masks(far.root, row, structures), here.read_masks(local.root, row, structures)
        )


def test_sets_are_searched_below_the_data_folder_s_url(tmp_path, bucket, put):
    write_layout("montgomery", tmp_path / "data" / "cxr" / "montgomery", n=2)
    put(tmp_path / "data", bucket / "data")
    cfg = compose("prepare", ["data=montgomery", f"paths.data={bucket}/data"])
    index = build.sources(cfg)["montgomery"].index()
    assert str(index.root).startswith("memory://bucket/data/cxr/montgomery")
    assert len(index.rows) == 2


def test_a_folder_that_is_not_there_is_named_by_its_url(bucket):
    with pytest.raises(DataError, match=r"data\.sources\.montgomery\.root=memory://bucket/no is not a folder"):
        source_of("montgomery", bucket / "no").find()


def test_an_incomplete_copy_says_what_was_expected(tmp_path, bucket, put):
    (tmp_path / "set" / "CXR_png").mkdir(parents=True)
    (tmp_path / "set" / "CXR_png" / "MCUCXR_0001_0.png").write_bytes(b"x")
    put(tmp_path / "set", bucket / "set")
    with pytest.raises(DataError, match=r"no complete copy of .* in .*memory://bucket/set\. Expected:"):
        source_of("montgomery", bucket / "set").find()


def test_radiographs_and_masks_may_lie_in_two_folders_of_one_container():
    top = RemotePath("abfs://images/data")
    assert str(common_root(top / "jsrt" / "png", top / "scr")) == "abfs://images/data"


@pytest.mark.parametrize("other", ["abfs://other/scr", "/data/scr"])
def test_they_may_not_lie_apart(other, tmp_path):
    from lungseg.remote.path import place

    with pytest.raises(DataError, match=r"abfs://images/jsrt and .* have no folder in common"):
        common_root(RemotePath("abfs://images/jsrt"), place(other))
