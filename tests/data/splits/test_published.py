from __future__ import annotations

import pytest

from lungseg.data.phantom.layouts import write_layout
from lungseg.data.sources.jsrt import JsrtSource
from lungseg.data.splits.published import PublishedSplit
from lungseg.data.table import SamplesTable
from lungseg.errors import ConfigError, DataError


def test_an_unknown_split_is_refused():
    with pytest.raises(ConfigError, match=r"split\.lists is 'jsrt'"):
        PublishedSplit(lists="jsrt")


def test_a_set_that_lacks_listed_radiographs_is_refused(tmp_path):
    samples = SamplesTable.from_rows(
        JsrtSource(root=str(write_layout("jsrt_png", tmp_path, n=4, size=(32, 32)).root)).index().rows
    )
    with pytest.raises(DataError, match=r"242 of 246 names of the split fit no sample.*split\.missing=ignore"):
        PublishedSplit().assign(samples, 0)
    assert set(PublishedSplit(missing="ignore").assign(samples, 0)) <= {"train", "val", "test"}


@pytest.mark.data
def test_the_real_set_is_split_174_21_51(real_data):
    samples = SamplesTable.from_rows(JsrtSource(search=str(real_data)).index().rows)
    parts = PublishedSplit().assign(samples, 0)
    assert [(parts == part).sum() for part in ("train", "val", "test")] == [174, 21, 51]
    listed = (real_data / "jsrt" / "splits-hybridgnet" / "test_files.txt").read_text().split()
    names = [name for name, part in zip(samples.column("sample_id").to_pylist(), parts, strict=True) if part == "test"]
    assert sorted(names) == sorted(f"jsrt/{name.removesuffix('.IMG')}" for name in listed)
