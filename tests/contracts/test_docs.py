"""Every command that README.md and docs/ print is one that lungseg takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lungseg.cli.arguments import read
from lungseg.cli.composition import Composer
from lungseg.cli.trials import gathered
from lungseg.config import config_dir

ROOT = Path(__file__).parents[2]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.is_file()]


def commands(page: Path) -> list[str]:
    """Commands of a page, placeholders such as `<time>` filled in, without sketches with `...`."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ").replace("data=<name>", "data=jsrt")
    found: list[str] = []
    fenced = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    for block in fenced.findall(text):
        found += re.findall(r"python -m lungseg ([^\n#]*)", block)
    found += re.findall(r"`python -m lungseg ([^`]*)`", fenced.sub("", text))
    return [re.sub(r"<[^>]*>", "x", command) for command in found if not {"...", "loss=my_loss"} & {*command.split()}]


CASES = [pytest.param(command, id=f"{page.name}: {command}") for page in PAGES for command in commands(page)]


@pytest.mark.parametrize("command", CASES)
def test_a_printed_command_is_taken(command: str) -> None:
    request = read(shlex.split(command))

    if request.help is not None or request.flags or any(o.startswith("resume") for o in request.overrides):
        return
    # masks of a run of the reader's own, which is looked for before anything starts
    request.overrides = [line for line in request.overrides if not line.startswith("lung_masks=")]
    composer = Composer(request.verb, config_dir(), request.config_dirs)
    lines = gathered(request, composer) if request.verb == "tune" else request.overrides
    composer.plan(lines, multirun=request.multirun)
    if request.verb == "tune":
        of_trials = [line for line in request.overrides if line not in lines]
        Composer("train", config_dir()).plan(of_trials, multirun=False)


def test_pages_print_commands() -> None:
    assert len(CASES) > 30
