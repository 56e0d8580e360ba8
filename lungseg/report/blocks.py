"""The parts a report is made of; the HTML and the Markdown template both render these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["", "muted", "good", "warn", "bad"]


@dataclass(frozen=True)
class Cell:
    """One table cell.

    Attributes:
        text: what it says.
        sub: a second, smaller line, e.g. the interval below its mean.
        tone: how it is coloured.
        heat: 0 to 1 on the colour scale of a heat table; None = not coloured.
        ring: whether the cell is outlined (trained and tested on the same set).
        colspan: columns that it covers.
    """

    text: str
    sub: str = ""
    tone: Tone = ""
    heat: float | None = None
    ring: bool = False
    colspan: int = 1


@dataclass(frozen=True)
class Column:
    """A table column; neighbours with one `group` share a second header row above them."""

    title: str
    group: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table that scrolls sideways inside its own box. The first column stays in view."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    note: str = ""
    sortable: bool = False
    tall: bool = False
    kind: Literal["table"] = "table"

    def groups(self) -> list[tuple[str, int]]:
        """Header groups from left to right as (title, number of columns); empty when there is none."""
        if not any(column.group for column in self.columns):
            return []
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans


@dataclass(frozen=True)
class Text:
    """A paragraph, or a callout when it has a tone."""

    text: str
    tone: Tone = ""
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Points:
    """A bulleted list."""

    items: tuple[str, ...]
    title: str = ""
    kind: Literal["points"] = "points"


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and what it is."""

    items: tuple[tuple[str, str], ...]
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Figure:
    """A drawing: `svg` for the page (colours are CSS variables), `plain` for a file of its own."""

    name: str
    svg: str
    plain: str
    caption: str


@dataclass(frozen=True)
class Figures:
    """Drawings side by side where there is room."""

    items: tuple[Figure, ...]
    kind: Literal["figures"] = "figures"


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        uri: for the page.
        path: of the file, for a link from the Markdown file.
        title: in a few words, printed first.
        caption: the rest.
        alt: what it shows, for those who cannot see it.
    """

    uri: str
    path: str
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Gallery:
    """Pictures in a row that wraps.

    Attributes:
        title: above them.
        items: the pictures.
        size: `small` for thumbnails, `wide` for strips of several panels.
    """

    title: str
    items: tuple[Picture, ...]
    size: Literal["", "small", "wide"] = ""
    kind: Literal["gallery"] = "gallery"


@dataclass(frozen=True)
class Folded:
    """Text as it stands in a file, behind a line that opens it."""

    title: str
    text: str
    kind: Literal["folded"] = "folded"


Block = Table | Text | Points | Facts | Figures | Gallery | Folded


@dataclass(frozen=True)
class Section:
    """A headed part of the report."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """One of the few numbers at the top."""

    label: str
    value: str
    sub: str
    tone: Tone = ""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    eyebrow: str
    title: str
    summary: str
    banners: tuple[Text, ...] = ()
    tiles: tuple[Tile, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: tuple[str, ...] = field(default=())
