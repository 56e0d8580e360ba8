"""Every YAML file there is: it says what it is, composes, and names nothing that does not exist."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from lungseg import build
from lungseg.cli.composition import Composer
from lungseg.cli.help import told
from lungseg.cli.schema import SCHEMAS, names
from lungseg.config import config_dir, verbs
from lungseg.metrics.classification_summary import summarise_classes
from lungseg.metrics.summary import COUNTS, SUMS, summarise
from lungseg.report.paper import FOLDER, Paper, load_paper
from lungseg.report.reader import Run
from lungseg.report.recipe import departures
from lungseg.signatures import signature
from lungseg.tuning.plan import make_plan
from lungseg.tuning.search import read_search

CONF = config_dir()
FILES = sorted(file for file in CONF.rglob("*.yaml") if file.parent.name != "local")
ALONE = ("experiment", "size", "sweep", "debug")
"""Groups that set values of others; the choices of the rest are independent, so that one run can take one of each."""
NEEDED = {
    "evaluate": ["checkpoint=a"], "predict": ["checkpoint=a", "input=b"], "explain": ["checkpoint=a"],
    "report": ["runs=outputs"],
}  # fmt: skip
SEARCHES = sorted((CONF / "search").glob("*.yaml"))
EXPERIMENTS = sorted((CONF / "experiment").glob("*.yaml"))
SWEEPS = sorted((CONF / "sweep").glob("*.yaml"))
PAPERS = [paper for file in sorted(FOLDER.glob("*.yaml")) if (paper := load_paper(file.stem)) is not None]
PHANTOM = "data.sources.phantom={_target_: lungseg.data.sources.phantom.PhantomSource}"
"""The base of all data sets has no source of its own."""


def runs() -> list[list[str]]:
    """Overrides of as few runs as cover every choice of every group."""
    hidden = {"hydra", "narrow", "explain", "search"}  # narrow belongs to size and model, the last two to other verbs
    groups = sorted({file.relative_to(CONF).parts[0] for file in FILES if file.parent != CONF} - hidden)
    choices = {
        group: [
            f"{group}={file.relative_to(CONF / group).with_suffix('').as_posix()}"
            for file in FILES
            if CONF / group in file.parents
        ]
        for group in groups
    }
    together = zip_longest(*(choices[group] for group in groups if group not in ALONE))
    return [*([o for o in run if o] for run in together), *([o] for group in ALONE for o in choices[group])]


def relative(file: Path) -> str:
    return file.relative_to(CONF).with_suffix("").as_posix()


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("train", CONF)


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_a_file_begins_with_a_comment_that_says_what_it_is(file: Path) -> None:
    assert file.read_text(encoding="utf-8").startswith("# ")
    assert told(file)


@pytest.mark.parametrize("choices", runs(), ids=" ".join)
def test_every_choice_of_every_group_composes_and_is_legal(composer: Composer, choices: list[str]) -> None:
    more = [PHANTOM] if "data=default" in choices else []
    if {"task=multiclass", "task=multilabel"} & set(choices):
        more += ["data.classes=[normal,ill]"]
    assert composer.compose([*choices, *more]).config["name"]


@pytest.mark.parametrize("file", sorted((CONF / "explain").glob("*.yaml")), ids=relative)
def test_every_explanation_composes_and_can_be_built(file: Path) -> None:
    config = Composer("explain", CONF).compose(["checkpoint=a", f"explain={file.stem}"]).config
    assert callable(build.make(config["explain"], "explain"))


@pytest.mark.parametrize("file", SEARCHES, ids=relative)
def test_every_search_is_named_as_its_file_and_fits_the_configuration_of_its_trials(file: Path) -> None:
    search = read_search(Composer("tune", CONF).compose([f"search={file.stem}"]).config["search"])
    assert search.name == file.stem
    assert make_plan(search, [], CONF, [], seed=0).search.objectives


def test_every_target_of_ours_is_there() -> None:
    targets = {t for file in FILES for t in re.findall(r"_target_:\s*([\w.]+)", file.read_text(encoding="utf-8"))}
    unknown = [target for target in sorted(targets) if target.startswith("lungseg.") and signature(target) is None]
    assert targets
    assert unknown == []


@pytest.mark.parametrize("verb", sorted(SCHEMAS))
def test_every_verb_composes_and_its_file_gives_every_key_of_its_schema(verb: str) -> None:
    config = Composer(verb, CONF).compose(NEEDED.get(verb, [])).config
    assert set(config) == {*names(SCHEMAS[verb].__name__), "verb", "overrides", "run_dir"}


def test_every_root_file_has_its_command() -> None:
    roots = {file.stem for file in CONF.glob("*.yaml")} - {"runtime"}
    assert roots == set(verbs())


@pytest.mark.parametrize("file", EXPERIMENTS, ids=relative)
def test_an_experiment_is_named_as_its_file_and_can_be_tried_small(composer: Composer, file: Path) -> None:
    choice = f"experiment={file.stem}"
    assert composer.compose([choice]).config["name"] == file.stem
    assert composer.compose([choice, "debug=smoke"]).config["preprocess"]["steps"]["resize"]["size"] == [128, 128]


def choices(composer: Composer) -> dict[str, dict[str, object]]:
    """What every experiment says of its paper, by experiment."""
    return {file.stem: composer.compose([f"experiment={file.stem}"]).config["paper"] for file in EXPERIMENTS}


@pytest.mark.parametrize("file", SWEEPS, ids=relative)
def test_every_job_of_a_sweep_is_legal(composer: Composer, file: Path) -> None:
    first, _ = composer.plan([f"sweep={file.stem}"], multirun=False)
    assert first.multirun
    assert len(composer.jobs([], first.params)) > 1


@pytest.mark.parametrize("paper", [paper for paper in PAPERS if paper.rows], ids=lambda paper: paper.key)
def test_every_printed_row_has_one_experiment_with_its_figures_and_the_papers_sweep_runs_it(
    composer: Composer, paper: Paper
) -> None:
    rows = {name: said for name, said in choices(composer).items() if said["key"] == paper.key and said["reported"]}
    printed = [(row.name, dict(row.figures)) for row in paper.rows]
    assert sorted(((said["row"], said["reported"]) for said in rows.values()), key=str) == sorted(printed, key=str)
    table = yaml.safe_load((CONF / "sweep" / f"{paper.key}_table.yaml").read_text(encoding="utf-8"))
    swept = table["hydra"]["sweeper"]["params"]["experiment"].split(",")
    assert set(rows) <= {name.strip() for name in swept}


@pytest.mark.parametrize("file", EXPERIMENTS, ids=relative)
def test_an_experiment_of_a_printed_row_is_its_recipe_and_its_net_has_the_papers_size(
    composer: Composer, file: Path
) -> None:
    config = composer.compose([f"experiment={file.stem}"]).config
    paper = load_paper(str(config["paper"]["key"]))
    if paper is None or not config["paper"]["reported"]:
        return
    with torch.device("meta"):  # no numbers: the largest has 67 million
        size = sum(p.numel() for p in build.network(config).parameters())
    net = {"parameters": size}
    found = departures(Run(file, config=config, model=net), paper.row(config["paper"]["row"]).recipe)
    # weights have to be fetched: an experiment must run where there is no network
    assert [said for said in found if "initial weights" not in said] == []


def test_printed_metrics_are_held_against_metrics_that_there_are(composer: Composer) -> None:
    row = {"part": "test", "source": "s", "sample_id": "a", "subject_id": "a", "structure": "lungs"}
    frame = pd.DataFrame([row | dict.fromkeys([*COUNTS, *SUMS], 1)])
    of_masks = set(summarise(frame, n_boot=1, average="classes")["test"]["all"]["lungs"]["metrics"]) | {"loss"}
    labelled = pd.DataFrame([row | {"p_a": 1.0, "p_b": 0.0, "t_a": 1.0, "t_b": 0.0}])
    found = summarise_classes(labelled, kind="multiclass", classes=["a", "b"], n_boot=1)["test"]["all"]["metrics"]
    of_classes = set(found) | {"loss", "seconds", "best_epoch"}
    for name, said in choices(composer).items():
        measured = of_classes if said["key"] == "cxr_classification" else of_masks
        reported, compare = said["reported"], said["compare"]
        assert isinstance(reported, dict)
        assert isinstance(compare, dict)
        assert set(compare) <= set(reported), name
        for printed in reported:
            ours = compare.get(printed, printed)
            assert {*ours} <= measured if isinstance(ours, list) else ours in measured, (name, printed)
