from __future__ import annotations

import pickle

import numpy as np
import pytest

from lungseg.data.table import SCHEMA, SamplesTable
from lungseg.errors import DataError, ResourceError


def row(i, **changes):
    base = {
        "sample_id": f"set/{i:07d}",
        "subject_id": f"set/p{i // 2}",
        "source": "set",
        "image": f"images/{i}.png",
        "masks": {"lungs": f"masks/{i}.png"},
        "label": None,
        "view": "PA",
        "sex": "F",
        "age": 50.0,
        "spacing_mm": (0.5, 0.25),
        "official_split": None,
    }
    return {**base, **changes}


def test_rows_come_back_as_they_were_given():
    rows = [row(0), row(1, sex=None, age=None, spacing_mm=None, masks={}), row(2, label="normal")]
    table = SamplesTable.from_rows(iter(rows))
    assert [table.row(i) for i in range(3)] == rows
    assert list(table.rows()) == rows


def test_a_negative_index_counts_from_the_end_and_one_too_large_is_refused():
    table = SamplesTable.from_rows([row(0), row(1)])
    assert table.row(-1)["sample_id"] == "set/0000001"
    with pytest.raises(IndexError, match="row 2 of a samples table with 2 rows"):
        table.row(2)


def test_rows_are_found_across_batches():
    table = SamplesTable.from_rows(row(i) for i in range(10_003))
    assert len(table) == 10_003
    assert len(table.arrow.to_batches()) == 2
    assert table.row(9_999)["sample_id"] == "set/0009999"
    assert table.row(10_000)["sample_id"] == "set/0010000"


def test_an_empty_table_has_all_columns():
    table = SamplesTable.from_rows([])
    assert len(table) == 0
    assert table.arrow.schema.names == SCHEMA.names


def test_a_saved_table_opens_equal_and_pickles(tmp_path):
    table = SamplesTable.from_rows([row(0), row(1)])
    table.save(tmp_path / "deep" / "samples.arrow")
    opened = SamplesTable.open(tmp_path / "deep" / "samples.arrow")
    assert opened.arrow.equals(table.arrow)
    assert pickle.loads(pickle.dumps(opened)).row(1) == row(1)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["samples.arrow"]


def test_rows_stream_to_a_file_when_one_is_given(tmp_path):
    table = SamplesTable.from_rows((row(i) for i in range(3)), path=tmp_path / "s.arrow")
    assert table.row(2) == row(2)
    assert (tmp_path / "s.arrow").stat().st_size > 0


def test_a_streamed_table_that_is_refused_leaves_no_file(tmp_path):
    with pytest.raises(DataError):
        SamplesTable.from_rows([row(0), row(0)], path=tmp_path / "s.arrow")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_table_is_refused_by_name(tmp_path):
    path = tmp_path / "s.arrow"
    SamplesTable.from_rows([row(0)]).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"s\.arrow cannot be read"):
        SamplesTable.open(path)


def test_a_table_in_a_place_that_cannot_be_written_is_a_resource_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="cannot be written"):
        SamplesTable.from_rows([row(0)]).save(tmp_path / "file" / "s.arrow")


def test_take_keeps_the_order_asked_for():
    table = SamplesTable.from_rows(row(i) for i in range(4))
    assert table.take(np.array([3, 1])).column("image").to_pylist() == ["images/3.png", "images/1.png"]
    assert table.take([2]).row(0)["masks"] == {"lungs": "masks/2.png"}


def test_tables_of_two_sources_are_joined():
    one = SamplesTable.from_rows([row(0)])
    two = SamplesTable.from_rows([row(0, sample_id="b/0", subject_id="b/0", source="b")])
    assert SamplesTable.concat([one, two]).column("source").to_pylist() == ["set", "b"]


def test_pandas_gets_dicts_of_masks():
    frame = SamplesTable.from_rows([row(0)]).to_pandas()
    assert list(frame.columns) == SCHEMA.names
    assert frame["masks"][0] == {"lungs": "masks/0.png"}


def test_duplicate_ids_are_refused_with_the_first_five():
    rows = [row(i) for i in range(7)] * 2
    with pytest.raises(DataError, match="7 sample_id occur more than once") as caught:
        SamplesTable.from_rows(rows)
    assert "set/0000004 and 2 more" in str(caught.value)


def test_joining_a_table_with_itself_is_refused():
    table = SamplesTable.from_rows([row(0)])
    with pytest.raises(DataError, match="set/0000000"):
        SamplesTable.concat([table, table])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": ""}, "image is ''"),
        ({"sample_id": "other/1"}, "it must read set/<name>"),
        ({"subject_id": "set/"}, "subject_id is 'set/'"),
        ({"sex": "male"}, "sex is 'male'"),
        ({"age": 540.0}, "age is 540.0"),
        ({"age": float("nan")}, "age is nan"),
        ({"spacing_mm": (0.0, 1.0)}, "spacing_mm is (0.0, 1.0)"),
        ({"masks": {"Left Lung": "x"}}, "'Left Lung'"),
        ({"label": 3}, "label is 3"),
        ({"extra": 1}, "unknown fields ['extra']"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_field_is_refused_with_its_value(changes, said):
    with pytest.raises(DataError) as caught:
        SamplesTable.from_rows([row(0), row(1, **changes)])
    assert "1 rows of the samples table are wrong" in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_field_is_refused():
    broken = row(0)
    del broken["view"]
    with pytest.raises(DataError, match="view is missing"):
        SamplesTable.from_rows([broken])


def test_missing_files_are_collected(tmp_path):
    for i in range(8):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            if i < 2:
                (tmp_path / folder / f"{i}.png").write_bytes(b"x")
    table = SamplesTable.from_rows(row(i) for i in range(8))
    with pytest.raises(DataError, match="12 of 16 files are not there") as caught:
        table.check_files({"set": tmp_path})
    assert "and 7 more" in str(caught.value)
    table.take([0, 1]).check_files({"set": tmp_path})


def test_an_unknown_column_is_refused():
    with pytest.raises(DataError, match="no column 'sexx'"):
        SamplesTable.from_rows([row(0)]).column("sexx")


def test_a_large_table_opened_from_a_file_is_not_held_in_memory(tmp_path):
    import pyarrow as pa

    before = pa.total_allocated_bytes()
    table = SamplesTable.from_rows((row(i) for i in range(30_000)), path=tmp_path / "s.arrow")
    # 30,000 rows are some 4 MB; a memory map allocates none of it in Arrow's pool
    assert pa.total_allocated_bytes() - before < 200_000
    assert len(table) == 30_000
