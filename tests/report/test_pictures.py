"""Overlays as pictures of the page."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from lungseg.report.blocks import Gallery
from lungseg.report.pictures import LARGEST, overlay_blocks, picture_uri
from lungseg.report.reader import read_run


def _png(height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_is_shrunk_to_what_the_page_shows():
    uri = picture_uri(_png(2 * LARGEST, LARGEST))
    content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as found:
        assert found.size == (LARGEST // 2, LARGEST)


def test_worst_come_first_then_median_then_best(make_run: Callable[..., Path]):
    blocks, notes = overlay_blocks(read_run(make_run()))
    galleries = [block for block in blocks if isinstance(block, Gallery)]
    assert [gallery.title for gallery in galleries] == ["Worst (test)", "Median (test)", "Best (test)"]
    assert [len(gallery.items) for gallery in galleries] == [3, 3, 3]
    assert galleries[0].items[0].title < galleries[2].items[0].title
    assert notes == []


def test_a_missing_and_a_damaged_picture_give_a_note_each(make_run: Callable[..., Path]):
    folder = make_run()
    (folder / "overlays" / "test_worst_1.png").unlink()
    damaged = folder / "overlays" / "test_best_1.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    blocks, notes = overlay_blocks(read_run(folder))
    assert notes == [
        "overlays/test_worst_1.png was left out: it is missing.",
        "overlays/test_best_1.png was left out: it is damaged.",
    ]
    assert sum(len(block.items) for block in blocks if isinstance(block, Gallery)) == 7


def test_a_picture_outside_the_run_folder_is_not_shown(make_run: Callable[..., Path], tmp_path: Path):
    folder = make_run()
    (tmp_path / "secret.png").write_bytes(_png(4, 4))
    entry = {"file": "../secret.png", "part": "test", "rank": "best"}
    (folder / "overlays" / "index.json").write_text(json.dumps([entry]))
    blocks, notes = overlay_blocks(read_run(folder))
    assert blocks == []
    assert notes == ["../secret.png lies outside the run folder and was left out."]
