from __future__ import annotations

import pytest

from lungseg.data.sources.layout import by_stem, candidates, child, common_root, list_files, relative
from lungseg.errors import DataError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_are_found_by_name_without_case_to_a_depth_of_three(tmp_path):
    for name in ("a/b/JSRT/x", "a/b/c/jsrt", "other"):
        (tmp_path / name).mkdir(parents=True)
    found = [path.relative_to(tmp_path).as_posix() for path in candidates(tmp_path, ["jsrt"], named=False)]
    # a/b/c/jsrt lies at depth four, and so does a/b/JSRT/x
    assert found == [".", "a/b/JSRT"]


def test_inside_a_named_folder_every_folder_is_looked_at(tmp_path):
    (tmp_path / "jsrt" / "scr-200" / "fold1").mkdir(parents=True)
    found = [path.name for path in candidates(tmp_path, ["jsrt"], named=False)]
    assert found[1:] == ["jsrt", "scr-200", "fold1"]


def test_a_child_is_found_without_case_and_through_slashes(tmp_path):
    (tmp_path / "Fold1" / "MASKS").mkdir(parents=True)
    assert child(tmp_path, "nothing", "fold1/masks") == tmp_path / "Fold1" / "MASKS"
    assert child(tmp_path, ".") == tmp_path
    assert child(tmp_path, "fold2/masks") is None


def test_files_are_listed_without_hidden_ones_and_leftovers_of_unpacking(tmp_path):
    touch(tmp_path, "b.PNG", "a.png", "._a.png", "Thumbs.db", "in/c.png", "__MACOSX/d.png", ".hidden/e.png")
    assert [path.name for path in list_files(tmp_path, (".png",))] == ["a.png", "b.PNG"]
    assert [path.name for path in list_files(tmp_path, (".png",), recursive=True)] == ["a.png", "b.PNG", "c.png"]


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="gone cannot be listed"):
        list_files(tmp_path / "gone")


def test_two_files_of_one_stem_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 radiographs share their name"):
        by_stem([tmp_path / "a.png", tmp_path / "a.jpg"], what="radiographs")


def test_paths_are_relative_to_the_nearest_common_folder(tmp_path):
    root = common_root(tmp_path / "a" / "images", tmp_path / "a" / "masks")
    assert root == tmp_path / "a"
    assert relative(tmp_path / "a" / "masks" / "m.png", root) == "masks/m.png"
