"""The written report: one page, the same in Markdown, from whole and damaged run folders."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lungseg.errors import ConfigError, ResourceError
from lungseg.report.html import write_report

PAPER = {"key": "resunet", "row": "epoch 20", "reported": {"dice": 0.9622}}
PIECES = [
    "config.yaml", "overrides.yaml", "status.json", "env.json", "data.json", "model.json", "metrics.json", "epochs.csv",
    "per_sample.parquet", "split.parquet", "overlays/index.json", "overlays/test_worst_1.png",
]  # fmt: skip
VOID = {"meta", "link", "img", "br", "path", "use"}


class _Nesting(HTMLParser):
    """Checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag


def test_the_report_of_one_run_is_two_files_in_its_folder(make_run: Callable[..., Path]):
    folder = make_run()
    assert write_report([folder], folder) == folder / "report.html"
    assert (folder / "report.md").is_file()
    assert (folder / "figures" / "curve_dice.svg").is_file()
    assert not list(folder.glob(".report*"))


def test_the_page_says_what_was_run_on_what_and_how_good_it_is(make_run: Callable[..., Path]):
    folder = make_run(paper=PAPER)
    page = write_report([folder], folder).read_text()
    for said in (
        "ResUNet was trained for 20 epochs on JSRT (174 training radiographs). On 51 test radiographs of 51 patients",
        "13,040,705 parameters", "174 training, 21 validation, 51 test", "9f2c1ab04d9f2c1a", "AMD EPYC 9V74",
        "Early Screening of Lung Disease", "experiment=resunet_jsrt seed=0", "Not a medical device",
    ):  # fmt: skip
        assert said in page


def test_every_element_is_closed_and_every_id_unique(make_run: Callable[..., Path]):
    folder = make_run(paper=PAPER, structures=("lungs", "heart"))
    nesting = _Nesting()
    nesting.feed(write_report([folder], folder).read_text())
    assert nesting.open == []
    assert len(nesting.ids) == len(set(nesting.ids))


def test_the_page_refers_to_nothing_outside_itself(make_run: Callable[..., Path]):
    folder = make_run()
    page = write_report([folder], folder).read_text()
    assert not re.search(r"https?:|wss?:|@import", page)
    assert all(found.startswith(("data:", "#")) for found in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)\)", page))


def test_markdown_holds_the_same_figures_and_its_links_lead_somewhere(make_run: Callable[..., Path]):
    folder = make_run(paper=PAPER)
    page = write_report([folder], folder).read_text()
    text = (folder / "report.md").read_text()
    shown = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert set(re.findall(r"0\.\d{4}", text)) == set(re.findall(r"0\.\d{4}", shown))
    links = re.findall(r"\]\(<?([^)>]+)>?\)", text)
    assert len(links) == 12  # nine overlays, the distribution and two curves
    assert all((folder / link).is_file() for link in links)


def test_text_of_others_cannot_become_markup(make_run: Callable[..., Path]):
    folder = make_run(name="<script>alert(1)</script>", state="failed", error="a | b <img src=x>")
    page = write_report([folder], folder).read_text()
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    assert "&lt;img src=x&gt;" in page


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("failed", "This run failed after 17 min 32 s. ValueError: broken."),
        ("interrupted", "This run was interrupted after 17 min 32 s."),
        ("diverged", "This run diverged after 17 min 32 s: a value was no longer finite."),
        ("running", "This run is still going, or was killed"),
    ],
)
def test_a_run_that_did_not_end_well_says_so_and_shows_its_curves(make_run: Callable[..., Path], state: str, said: str):
    folder = make_run(state=state, error="ValueError: broken")
    page = write_report([folder], folder).read_text()
    assert said in page
    assert "Dice by epoch." in page
    assert "It has not been evaluated." in page


@pytest.mark.parametrize(
    ("piece", "damage"),
    # without status.json at all a folder is no run folder
    [(p, d) for p in PIECES for d in ("missing", "truncated", "another kind") if (p, d) != ("status.json", "missing")],
)
def test_no_damage_to_a_run_folder_stops_the_report(small_run: Path, tmp_path: Path, piece: str, damage: str):
    folder = shutil.copytree(small_run, tmp_path / "run")
    content = (folder / piece).read_bytes()
    if damage == "missing":
        (folder / piece).unlink()
    else:
        damaged = {"truncated": content[: 2 * len(content) // 3], "another kind": b"[[1], {}, null]\n"}
        (folder / piece).write_bytes(damaged[damage])
    page = write_report([folder], folder).read_text()
    assert "</html>" in page


def test_a_run_folder_with_nothing_but_its_status_gives_a_report(tmp_path: Path):
    (tmp_path / "status.json").write_text("{}")
    page = write_report([tmp_path], tmp_path).read_text()
    assert "config.yaml is missing." in page
    assert "There are no results" in page


def test_several_runs_make_one_report_with_paired_difference_and_repeats(make_run: Callable[..., Path], tmp_path: Path):
    a, b, c = make_run("a", dice=0.95), make_run("b", dice=0.97, lr=0.1), make_run("c", seed=1, dice=0.95)
    page = write_report([a, b, c], tmp_path / "out", title="Learning rates").read_text()
    assert "<h1>Learning rates</h1>" in page
    assert re.search(r"B resunet_jsrt, seed 0 is better than A resunet_jsrt, seed 0 by 0\.0\d{3} \[0\.0", page)
    assert "Repeated runs" in page
    assert not (a / "report.html").exists()


def test_a_sweep_with_a_failed_run_is_reported(make_run: Callable[..., Path], tmp_path: Path):
    make_run("sweep/0", seed=0)
    make_run("sweep/1", seed=1, state="failed", error="out of memory")
    page = write_report([tmp_path / "sweep"], tmp_path / "out").read_text()
    assert "B resunet_jsrt, seed 1: This run failed after 17 min 32 s. out of memory." in page


def test_the_output_may_be_named_and_other_endings_are_refused(make_run: Callable[..., Path], tmp_path: Path):
    folder = make_run(overlays=False)
    assert write_report([folder], tmp_path / "deep" / "mine.html").is_file()
    assert (tmp_path / "deep" / "mine.md").is_file()
    with pytest.raises(ConfigError, match=r"ends in \.pdf"):
        write_report([folder], tmp_path / "mine.pdf")


def test_an_output_that_cannot_be_written_is_named_with_the_way_out(make_run: Callable[..., Path], tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot be written to .*file.*output=<folder>"):
        write_report([make_run(overlays=False)], tmp_path / "file" / "below")


def test_reports_and_statistics_import_no_torch():
    code = "import sys, lungseg.report.html, lungseg.stats.paired; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium, or a skip that says what is missing."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium: none of {', '.join(names)} is on the PATH (apt-get install chromium)")
    return found


PROBE = """
<script>
addEventListener("load", () => {
  const root = document.documentElement;
  const wide = [...document.querySelectorAll("body *")].filter((e) => {
    const inside = e.closest(".scroll, .gallery, pre, svg");
    return (!inside || inside === e) && e.getBoundingClientRect().right > root.clientWidth + 0.5;
  });
  const broken = [...document.images].filter((image) => !image.naturalWidth).length;
  const asked = performance.getEntriesByType("resource").map((e) => e.name).filter((name) => !name.startsWith("data:"));
  const tables = document.querySelectorAll("table").length;
  const found = {scroll: root.scrollWidth, client: root.clientWidth, broken, tables, asked,
                 wide: wide.map((e) => e.tagName + "." + e.className).slice(0, 5)};
  parent.postMessage(JSON.stringify(found), "*");
});
</script></body>"""


def _open(chromium: str, page: Path, width: int, scratch: Path) -> tuple[dict[str, object], str]:
    """Open a page in a frame of the given width: what the probe saw there, and the console's lines."""
    content = html.escape(page.read_text().replace("</body>", PROBE))
    frame = scratch / f"frame_{width}.html"
    # a window cannot be narrower than 500 pixels, a frame can
    frame.write_text(
        "<!doctype html><script>addEventListener('message', (e) => { document.title = e.data })</script>"
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{content}"></iframe>'
    )
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={scratch / 'profile'}", "--enable-logging=stderr",
        f"--window-size={max(width, 500)},1000", "--virtual-time-budget=3000", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run([chromium, *options, frame.as_uri()], capture_output=True, text=True, timeout=90, check=True)
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stdout[:500]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(title.group(1))), "\n".join(console)


@pytest.mark.chromium
@pytest.mark.parametrize("width", [390, 1920], ids=["phone", "projector"])
def test_the_page_opens_quietly_and_nothing_runs_over_its_edge(
    make_run: Callable[..., Path], tmp_path: Path, chromium: str, width: int
):
    run = make_run("a", paper=PAPER, name="resunet_with_a_rather_long_experiment_name")
    other = make_run("b", verb="evaluate", sets={"test": {"montgomery": 9, "shenzhen": 9}}, trained_run=str(run))
    for runs in ([run], [run, other, make_run("c", state="failed", error="/a/very/long/path" * 8)]):
        page = write_report(runs, tmp_path / str(len(runs)))
        _look(chromium, page, width, tmp_path)


@pytest.mark.chromium
@pytest.mark.parametrize("width", [390, 1920], ids=["phone", "projector"])
def test_the_pages_of_classifications_open_as_quietly(
    make_class_run: Callable[..., Path], tmp_path: Path, chromium: str, width: int
):
    name = "efficientnet_b1_with_a_rather_long_experiment_name"
    classes = ("normal", "viral pneumonia", "a_class_of_a_rather_long_name_without_a_space")
    one, other = (
        make_class_run(f"{draw}", name=name, classes=classes, draw=draw, n=24, n_boot=5, pictures=True)
        for draw in (1, 2)
    )
    labels = make_class_run("labels", kind="multilabel", known=0.8, n=24, n_boot=5, pictures=True)
    for place, runs in enumerate(([one], [labels], [one, other])):
        _look(chromium, write_report(runs, tmp_path / str(place + 10)), width, tmp_path)


def _look(chromium: str, page: Path, width: int, scratch: Path) -> None:
    seen, console = _open(chromium, page, width, scratch)
    assert seen["scroll"] == seen["client"] == width
    assert seen["wide"] == []
    assert seen["broken"] == 0
    assert seen["tables"]
    assert console == ""
    assert seen["asked"] == []
