"""Look at data sets: the tree they should have, what was found, what is wrong, and a contact sheet of overlays."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from lungseg import build
from lungseg.data.check import Digests, SourceFacts, duplicates, examine
from lungseg.data.sources.base import Source, SourceIndex
from lungseg.data.structures import UNIONS, available
from lungseg.errors import DataError, ResourceError, first_five
from lungseg.overlay import draw_overlay

log = logging.getLogger(__name__)

_TILE_HEIGHT = 360
_STRIP_HEIGHT = 24
_COLUMNS = 4
_DEFAULT_TILES = 12


def run(cfg: dict[str, Any]) -> int:
    """Run the verb.

    Writes the contact sheet and a JSON file of the same name: into the run folder where there is one, else to `output`,
    else to `check_<sets>.png` below `paths.outputs`.

    Returns:
        0, or 3 where a set was not found, pairs are missing or files cannot be read.

    Raises:
        ResourceError: The contact sheet cannot be written.
    """
    console = Console()
    reports: list[SourceFacts] = []
    found: list[tuple[Source, SourceIndex]] = []
    digests: list[Digests] = []
    for name, source in build.sources(cfg).items():
        console.rule(f"[bold]{escape(name)}[/]: {escape(source.title)}")
        facts, index, seen = _examine(source, cfg["data"].get("structures") or [], console)
        facts.same_files, facts.same_pixels = duplicates(seen)
        digests += seen
        reports.append(facts)
        _show(facts, console)
        if index is not None and index.rows:
            found.append((source, index))
    same_files, same_pixels = duplicates(digests) if len(reports) > 1 else ([], [])
    across = [group for group in same_files + same_pixels if len({name.split("/")[0] for name in group}) > 1]
    if across:
        console.print(
            f"[yellow]{len(across)} radiographs stand in more than one set[/]: "
            f"{escape(first_five(' = '.join(group) for group in across))}. Do not train on one and test on the other"
        )
    bad = any(facts.problems or facts.unreadable for facts in reports)
    sheet = _output(cfg)
    try:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        content = {"ok": not bad, "sources": [facts.as_dict() for facts in reports], "across_sources": across}
        sheet.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        tiles = cfg.get("sheet", _DEFAULT_TILES)
        if found and tiles and write_sheet(sheet, found, tiles):
            console.print(f"contact sheet: {escape(str(sheet))}")
        console.print(f"figures:       {escape(str(sheet.with_suffix('.json')))}")
    except OSError as error:
        msg = f"{sheet} cannot be written ({error}); set output=<file> to a place that can be written to"
        raise ResourceError(msg) from error
    console.print("[bold red]not usable as it is[/], see above" if bad else "[bold green]usable[/]")
    return DataError.exit_code if bad else 0


def write_sheet(path: Path, found: list[tuple[Source, SourceIndex]], tiles: int) -> bool:
    """Draw evenly chosen radiographs with the outlines of their masks; R marks the patient's right lung.

    Args:
        path: PNG file to write.
        found: Sources with their indices.
        tiles: Radiographs to draw, shared out among the sources.

    Returns:
        Whether there was anything to draw.
    """
    pictures = []
    for number, (source, index) in enumerate(found):
        share = tiles // len(found) + (number < tiles % len(found))
        for place in np.unique(np.linspace(0, len(index.rows) - 1, min(share, len(index.rows))).astype(int)):
            picture = _tile(source, index, int(place))
            if picture is not None:
                pictures.append(picture)
    if not pictures:
        return False
    width = max(picture.shape[1] for picture in pictures)
    padded = [_centred(picture, width) for picture in pictures]
    columns = min(_COLUMNS if len(padded) <= 16 else 6, len(padded))
    while len(padded) % columns:
        padded.append(np.zeros_like(padded[0]))
    lines = [np.hstack(padded[start : start + columns]) for start in range(0, len(padded), columns)]
    if not cv2.imwrite(str(path), np.vstack(lines)):
        msg = f"{path} was not written; the disk may be full"
        raise OSError(msg)
    return True


def drawn(masks: Mapping[str, str]) -> list[str]:
    """Structures whose outlines are drawn: all there are, but no union over its parts."""
    there = available(masks)
    return [name for name in there if not set(UNIONS.get(name, ())) & set(there)]


def _tile(source: Source, index: SourceIndex, place: int) -> np.ndarray | None:
    row = index.rows[place]
    names = drawn(row["masks"])
    try:
        pixels = source.read_image(index.root, row).pixels
        masks = source.read_masks(index.root, row, names) if names else None
    except DataError:
        # named among the unreadable files already
        return None
    picture: np.ndarray = draw_overlay(pixels, None, masks, height=_TILE_HEIGHT)
    height, width = picture.shape[:2]
    if masks is not None and "right_lung" in names and (right := masks[names.index("right_lung")]).any():
        rows, columns = np.nonzero(right)
        x, y = columns.mean() / right.shape[1] * width, rows.mean() / right.shape[0] * height
        for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            place_of_r = (round(x) - 8, round(y) + 8)
            cv2.putText(picture, "R", place_of_r, cv2.FONT_HERSHEY_SIMPLEX, 0.8, colour, thick, cv2.LINE_AA)
    strip = np.full((_STRIP_HEIGHT, width, 3), 30, dtype=np.uint8)
    cv2.putText(strip, row["sample_id"], (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
    return np.vstack([picture, strip])


def _centred(picture: np.ndarray, width: int) -> np.ndarray:
    left = (width - picture.shape[1]) // 2
    return np.pad(picture, ((2, 2), (left + 2, width - picture.shape[1] - left + 2), (0, 0)))


def _output(cfg: dict[str, Any]) -> Path:
    if cfg.get("output"):
        return Path(cfg["output"]).with_suffix(".png")
    if cfg.get("run_dir"):
        return Path(cfg["run_dir"]) / "check.png"
    names = "_".join(name for name, node in cfg["data"]["sources"].items() if node is not None)
    return Path(cfg["paths"]["outputs"]) / f"check_{names}.png"


def _examine(
    source: Source, structures: Sequence[str], console: Console
) -> tuple[SourceFacts, SourceIndex | None, list[Digests]]:
    bar = Progress(TextColumn("reading"), BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    with bar:
        task = bar.add_task("reading", total=None)
        return examine(source, lambda done, total: bar.update(task, completed=done, total=total), structures=structures)


def _show(facts: SourceFacts, console: Console) -> None:
    console.print("[bold]expected[/]" + (f" ({escape(facts.published)})" if facts.published else ""))
    console.print(escape("\n".join(f"  {line}" for line in facts.expected.splitlines())), highlight=False)
    if facts.root is not None:
        console.print(_grid(facts))
        if facts.masks:
            console.print(_mask_grid(facts))
    for note in facts.notes:
        console.print(f"[cyan]note[/] {escape(note)}")
    for warning in facts.warnings:
        console.print(f"[yellow]look at[/] {escape(warning)}")
    for problem in facts.problems:
        console.print(f"[red]problem[/] {escape(problem)}")
    if facts.unreadable:
        console.print(f"[red]{len(facts.unreadable)} files cannot be used[/]")
        for cause in facts.unreadable:
            console.print(f"  {escape(cause)}")
    if facts.root is not None and (facts.problems or facts.notes):
        console.print(f"Where to get what is missing: {escape(facts.home)} (docs/datasets.md#{facts.name})")


def _grid(facts: SourceFacts) -> Table:
    grid = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    masked = " with masks" if facts.masks else ""
    lines = {
        "found in": facts.root or "",
        "radiographs": f"{facts.n}{masked}, {facts.aside} kept aside, {facts.dropped} left out",
        "patients": f"{facts.patients}",
        "sizes": _listed(facts.sizes) + "  (height x width)",
        "depths": _listed(facts.depths),
        "polarity": f"{facts.inverted} turned at reading; {len(facts.looks_inverted)} look inverted as read",
        "converted": _listed(facts.conversions) or "nothing",
        "sex": _listed(facts.sexes),
        "age": _ages(facts),
        "labels": _listed(facts.labels),
        "views": _listed(facts.views),
        "split": _listed(facts.splits),
        "duplicates": f"{len(facts.same_files)} groups of the same bytes, {len(facts.same_pixels)} of the same pixels",
    }
    for name, text in lines.items():
        grid.add_row(name, escape(text))
    for group in (facts.same_files + facts.same_pixels)[:5]:
        grid.add_row("", escape(" = ".join(group)))
    return grid


def _mask_grid(facts: SourceFacts) -> Table:
    grid = Table("masks", "n", "empty", "not binary", "levels", "area", box=None, padding=(0, 2, 0, 0))
    for structure, masks in facts.masks.items():
        grid.add_row(
            structure,
            str(masks.n),
            str(masks.empty),
            str(masks.not_binary),
            str(masks.levels),
            f"{masks.area:.1%}",
        )
    grid.add_row("sizes", _listed(facts.mask_sizes))
    return grid


def _ages(facts: SourceFacts) -> str:
    if not facts.ages:
        return "unknown"
    ages = facts.ages
    return f"{ages['youngest']:g} to {ages['oldest']:g} years, median {ages['median']:g}; {ages['unknown']:g} unknown"


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{name}: {count}" for name, count in list(counts.items())[:5]]
    rest = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {rest} more kinds" if rest > 0 else "")
