"""Write a report: one HTML file that holds everything, and the same content as Markdown."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lungseg.errors import ConfigError, ResourceError, first_five
from lungseg.report.blocks import Cell, Figures, Page
from lungseg.report.class_several import several_classes_page
from lungseg.report.class_single import class_page
from lungseg.report.finder import find_runs
from lungseg.report.reader import SEGMENTATION, Run, read_run
from lungseg.report.several import several_page
from lungseg.report.single import single_page
from lungseg.report.tuning import read_study, tuning_page

TEMPLATES = Path(__file__).parent / "templates"
_log = logging.getLogger(__name__)


def write_report(runs: Sequence[Path], output: Path, *, title: str | None = None) -> Path:
    """Write report.html and report.md for one run or for several.

    Args:
        runs: run folders, or folders that hold some (see `finder.find_runs`).
        output: a folder, or the .html file to write; the Markdown file and the folder `figures` that it links to lie
            beside it.
        title: instead of the experiment's name.

    Returns:
        The path of the HTML file.

    Raises:
        ConfigError: a folder is not a run folder, segmentations and classifications are mixed, or the output has
            another ending than .html.
        ResourceError: the output cannot be written.
    """
    page_path = _page_path(output)
    read = [read_run(folder) for folder in find_runs(runs)]
    _write_page(_page(read, title), page_path)
    _log.debug("report of %d runs written to %s", len(read), page_path)
    return page_path


def write_tuning_report(study: Path, output: Path, *, title: str | None = None) -> Path:
    """Write report.html and report.md for the folder of a study.

    Args:
        study: the folder, which holds a tuning.json.
        output: a folder, or the .html file to write.
        title: instead of the study's name.

    Returns:
        The path of the HTML file.

    Raises:
        ConfigError: the output has another ending than .html.
        DataError: the study's record is damaged.
        ResourceError: the output cannot be written.
    """
    page_path = _page_path(output)
    _write_page(tuning_page(read_study(study), title=title), page_path)
    return page_path


def _write_page(page: Page, page_path: Path) -> None:
    """Write a page, its Markdown and its figures.

    Raises:
        ResourceError: they cannot be written.
    """
    try:
        page_path.parent.mkdir(parents=True, exist_ok=True)
        _write_figures(page, page_path.parent / "figures")
        _write(page_path.with_suffix(".md"), render_markdown(page, page_path.parent))
        _write(page_path, render_html(page))
    except OSError as error:
        raise ResourceError(
            f"the report cannot be written to {page_path}: {error.strerror or error}. "
            "Make room there, or give another folder: output=<folder>"
        ) from error


def _page(runs: Sequence[Run], title: str | None) -> Page:
    classifying = [run for run in runs if run.kind != SEGMENTATION]
    if not classifying:
        return single_page(runs[0], title=title) if len(runs) == 1 else several_page(runs, title=title)
    if len(classifying) < len(runs):
        others = [run.folder for run in runs if run.kind == SEGMENTATION]
        raise ConfigError(
            f"runs mixes classifications ({first_five(run.folder for run in classifying)}) with segmentations "
            f"({first_five(others)}), which have no figure in common. Make a report of each kind"
        )
    return class_page(runs[0], title=title) if len(runs) == 1 else several_classes_page(runs, title=title)


def render_html(page: Page) -> str:
    """Render a page as one HTML document without any reference to the outside."""
    return _environment(escape=True).get_template("report.html.j2").render(page=page)


def render_markdown(page: Page, folder: Path) -> str:
    """Render a page as Markdown; pictures are links relative to `folder`."""
    environment = _environment(escape=False)
    environment.filters["both"] = _both
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    environment.filters["line"] = lambda text: " ".join(str(text).split())
    environment.filters["near"] = lambda path: Path(os.path.relpath(path, folder)).as_posix()
    text = environment.get_template("report.md.j2").render(page=page)
    return text.strip() + "\n"


def _both(cell: Cell) -> str:
    """A cell on one line: an interval after its mean, any other second line in brackets of its own."""
    sub = cell.sub if not cell.sub or cell.sub[0] in "[±" else f"({cell.sub})"
    return " ".join(f"{cell.text} {sub}".split()).replace("|", "\\|")


def _environment(*, escape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _page_path(output: Path) -> Path:
    if output.suffix.lower() == ".html":
        return output
    if output.suffix.lower() in (".htm", ".md", ".pdf", ".txt") and not output.is_dir():
        raise ConfigError(f"output={output} ends in {output.suffix}: give a folder or a file that ends in .html")
    return output / "report.html"


def _write_figures(page: Page, folder: Path) -> None:
    figures = [
        figure
        for section in page.sections
        for block in section.blocks
        if isinstance(block, Figures)
        for figure in block.items
    ]
    if figures:
        folder.mkdir(exist_ok=True)
    for figure in figures:
        _write(folder / f"{figure.name}.svg", figure.plain)


def _write(path: Path, text: str) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        # a temporary file is private; a report is as readable as any other file of its owner
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
