from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungseg.cli.composition import Composer
from lungseg.config import compose, config_dir
from lungseg.errors import ConfigError


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer("train", config_dir())


def problem(composer: Composer, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        composer.compose(overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        pytest.param("model.dropout=0.2", "dropout", 0.2, id="argument-that-no-file-states"),
        pytest.param("+model.dropout=0.2", "dropout", 0.2, id="the-same-with-plus"),
        pytest.param("++model.dropout=0.2", "dropout", 0.2, id="the-same-with-two"),
        pytest.param("+model.features=[8,16]", "features", [8, 16], id="plus-although-it-is-stated"),
        pytest.param("model={dropout: 0.2}", "dropout", 0.2, id="map"),
        pytest.param("model.features.0=8", "features", [8, 32, 64], id="item-of-a-list"),
    ],
)
def test_every_constructor_argument_can_be_set(composer: Composer, override: str, key: str, value: Any) -> None:
    assert composer.compose([override]).config["model"][key] == value


def test_a_key_of_what_is_null_is_answered_by_the_choice_that_has_it(composer: Composer) -> None:
    said = problem(composer, "experiment=resnet34_nih_chestxray", "metrics.thresholds.rule=youden")
    assert said.endswith("there is one in metrics=multilabel")


def test_the_thresholds_of_an_experiment_can_be_chosen_after_all(composer: Composer) -> None:
    lines = ["experiment=resnet34_nih_chestxray", "metrics=multilabel", "metrics.thresholds.rule=youden"]
    assert composer.compose(lines[:1]).config["metrics"]["thresholds"] is None
    assert composer.compose(lines).config["metrics"]["thresholds"]["rule"] == "youden"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sede=3", "`sede` is no key or group of train; did you mean `seed`?"),
        ("+sede=3", "did you mean `seed`?"),
        ("modle=resunet", "did you mean `model`?"),
        ("model=resunett", "did you mean model=resunet?"),
        ("experiment=phanton", "did you mean experiment=phantom?"),
        ("model.dropot=1", "`model.dropot` is no argument of lungseg.models.resunet.ResUNet; did you mean `dropout`?"),
        ("+model.dropot=1", "did you mean `dropout`?"),
        ("++model.dropot=1", "did you mean `dropout`?"),
        ("model={dropot: 1}", "did you mean `dropout`?"),
        ("model.init_skip=convv", "model.init_skip=convv is none of conv, conv_bn, same; did you mean conv?"),
        ("model._target_=torch.nn.Sigmoidd", "did you mean torch.nn.Sigmoid?"),
        ("trainer.max_epoch=3", "did you mean `max_epochs`?"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc is of type str, not int | None"),
        ("optimizer.lr=fast", "optimizer.lr=fast is of type str"),
        ("scheduler.gamma=1", "`scheduler` is null"),
        ("data.batch_sise=3", "did you mean `batch_size`?"),
        ("data.batch_size=abc", "not a whole number"),
        ("data.structures=lungs", "is a text, not a list"),
        ("data.sources.jsrt.root=x", "`data.sources.jsrt` is no key of `data.sources`, which has: phantom"),
        ("callbacks.epoch_tabel=null", "did you mean `epoch_table`?"),
        ("~callbacks.nothing", "there is no `callbacks.nothing` to take out"),
        ("paths.output=x", "did you mean `outputs`?"),
        ("paper.ky=x", "did you mean `key`?"),
        ("paper.reported.dice=good", "paper.reported.dice=good is not a number"),
        ("seed=abc", "seed=abc is not a whole number"),
        ("report=maybe", "report=maybe is not true or false"),
        ("test=bst", "did you mean best?"),
        ("monitor=val/loss", "give monitor_mode=min"),
        ("monitor=test/dice", "is no value of the validation part"),
        ("n_boot=-1", "n_boot=-1 is below 0"),
        ("data.batch_size=0", "data.batch_size=0 is below 1"),
        ("test_parts=[tets]", "did you mean test?"),
        ("seed=1,2", "add -m to sweep"),
        ("seed", "is no verb and no key=value"),
        ("name=[1", "quote it twice"),
        ("name=${nothing}", "'nothing' not found"),
        ("hydra/launcher=joblibb", "did you mean joblib?"),
        ("+data=phantom,jsrt", "add -m to sweep"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_the_near_name(composer: Composer, override: str, message: str) -> None:
    assert message in problem(composer, override)


def test_all_problems_are_told_at_once(composer: Composer) -> None:
    text = problem(composer, "model.dropot=1", "seed=abc", "trainer.max_epoch=3")
    assert text.startswith("3 problems:")
    assert all(key in text for key in ("model.dropot", "seed=abc", "trainer.max_epoch"))


def test_a_group_is_switched_off_by_null(composer: Composer) -> None:
    assert composer.compose(["logger=null"]).config["logger"] is None


def test_a_path_with_brackets_needs_no_quotes_when_it_is_there(composer: Composer, tmp_path: Path) -> None:
    folder = tmp_path / "Lung (1) epoch=3"
    folder.mkdir()
    assert composer.compose([f"paths.data={folder}"]).config["paths"]["data"] == str(folder)


def test_an_experiment_beats_the_group_and_the_command_line_beats_both(composer: Composer) -> None:
    assert composer.compose(["experiment=resunet_mc_sh"]).config["model"]["in_channels"] == 3
    assert composer.compose(["experiment=resunet_mc_sh", "model.in_channels=1"]).config["model"]["in_channels"] == 1


def test_size_small_applies_to_any_experiment(composer: Composer) -> None:
    cfg = composer.compose(["experiment=resunet_jsrt", "size=small"]).config
    assert (cfg["preprocess"]["steps"]["resize"]["size"], cfg["model"]["features"]) == ([128, 128], [16, 32, 64])


def test_seed_zero_is_a_seed(composer: Composer) -> None:
    assert composer.compose([]).config["seed"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            "model: {dpeth: 9, dropot: 1}",
            r"model\.dropot .*did you mean `dropout`.*mine\.yaml, line 4",
            id="argument",
        ),
        pytest.param(
            "data:\n  batch_sise: 3",
            r"did you mean `batch_size`\? \(.*mine\.yaml, line 5\)",
            id="plain-node",
        ),
        pytest.param(
            "sede: 3",
            r"mine\.yaml: `sede` is no key of train; did you mean `seed`",
            id="root-key",
        ),
        pytest.param(
            "seed: abc",
            r"seed=abc is not a whole number \(.*mine\.yaml, line 4\)",
            id="root-value",
        ),
        pytest.param(
            "callbacks: {early_stoping: null}",
            r"did you mean `early_stopping`",
            id="entry-of-a-map",
        ),
        pytest.param(
            "optimizer: {lr: fast}",
            r"optimizer\.lr=fast .*mine\.yaml, line 4",
            id="value",
        ),
        pytest.param(
            "defaults: [override /model: resunett]",
            r"there is no model=resunett; did you mean resunet",
            id="choice",
        ),
        pytest.param(
            "defaults: [override /modle: resunet]",
            r"mine\.yaml: `modle` is no group .*`model`",
            id="group",
        ),
        pytest.param(
            "model: {resize: [1",
            r"mine\.yaml, line \d: this is no YAML",
            id="no-yaml",
        ),
        pytest.param(
            "preprocess: {steps: {crop: {size: 3}}}",
            r"preprocess\.steps\.crop",
            id="step-without-target",
        ),
    ],
)
def test_a_mistake_inside_a_file_is_named_with_the_file(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\n# Mine\nname: mine\n{body}\n")
    with pytest.raises(ConfigError, match=message):
        compose("train", ["experiment=mine"], [tmp_path])


def test_the_users_own_folder_adds_choices(tmp_path: Path) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "heavy.yaml").write_text("# Mine\n_target_: lungseg.losses.bce.BCELoss\npos_weight: 2.0\n")
    assert compose("train", ["loss=heavy"], [tmp_path])["loss"]["pos_weight"] == 2.0


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        compose("train", [], [tmp_path / "nothing"])


def test_every_job_of_a_sweep_is_checked(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="seed=abc is not a whole number"):
        composer.plan(["seed=0,abc"], multirun=True)
    with pytest.raises(ConfigError, match="did you mean model=resunet"):
        composer.plan(["model=resunet,resunett"], multirun=True)
    with pytest.raises(ConfigError, match="did you mean `dropout`"):
        composer.plan(["model.dropot=0.1,0.2"], multirun=True)


def test_a_swept_argument_that_no_file_states_is_forced(composer: Composer) -> None:
    first, lines = composer.plan(["model.dropout=0.1,0.2", "seed=1"], multirun=True)
    assert lines == ["++model.dropout=0.1,0.2", "seed=1"]
    assert first.config["model"]["dropout"] == 0.1


def test_a_sweep_group_switches_multirun_on(composer: Composer) -> None:
    first, _ = composer.plan(["sweep=seeds"], multirun=False)
    assert (first.multirun, first.params) == (True, {"seed": "0,1,2"})
    jobs = composer.jobs(["sweep=seeds"], first.params)
    assert jobs == [["seed=0", "sweep=seeds"], ["seed=1", "sweep=seeds"], ["seed=2", "sweep=seeds"]]


def test_choices_of_a_group_are_named_as_an_override_gives_them(composer: Composer) -> None:
    # the files of conf/scheduler
    assert composer.choices("scheduler") == ["cosine", "none", "plateau", "plateau_keras", "step"]


def test_a_key_of_a_group_is_no_group(composer: Composer) -> None:
    assert composer.is_group("model")
    assert not composer.is_group("model.features")


def test_a_verb_has_its_own_root_keys_only(composer: Composer) -> None:
    assert composer.has("monitor")
    assert not composer.has("checkpoint")  # of evaluate and predict


def test_composing_leaves_the_files_as_they_were_read_for_the_next_time(composer: Composer) -> None:
    before = composer.compose([]).config
    composer.compose(["model.features=[4]", "data.batch_size=1"])
    assert composer.compose([]).config == before


def test_jobs_of_a_sweep_are_all_combinations_with_the_last_key_changing_first(composer: Composer) -> None:
    assert composer.jobs(["seed=0,1", "loss=bce,bce_dice", "name=x"], {}) == [
        ["seed=0", "loss=bce", "name=x"],
        ["seed=0", "loss=bce_dice", "name=x"],
        ["seed=1", "loss=bce", "name=x"],
        ["seed=1", "loss=bce_dice", "name=x"],
    ]


def test_a_range_is_swept_by_its_values(composer: Composer) -> None:
    assert composer.jobs(["seed=range(0,6,2)"], {}) == [["seed=0"], ["seed=2"], ["seed=4"]]


def test_a_sweep_without_values_to_count_is_refused(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="give the values one by one"):
        composer.jobs(["optimizer.lr=interval(0,1)"], {})


def test_the_command_line_replaces_what_a_sweep_group_sweeps_over(composer: Composer) -> None:
    assert composer.jobs(["seed=7"], {"seed": "0,1,2"}) == [["seed=7"]]


def test_what_only_the_configuration_is_shown_for_may_stand_open() -> None:
    # predict has no default for its checkpoint
    composed = Composer("predict", config_dir(), allow_missing=True).compose([])
    assert composed.config["checkpoint"] == "???"


def test_given_folders_of_hydra_are_read_off_the_overrides(composer: Composer) -> None:
    composed = composer.compose(["hydra.run.dir=here", "seed=1"])
    assert (composed.run_dir, composed.sweep_dir) == ("here", None)
    assert composed.config["overrides"] == ["seed=1"]  # Hydra's own are no part of the run


def test_values_of_a_sweep_over_experiments_are_judged_within_its_jobs(composer: Composer) -> None:
    # the default experiment has no such source; every experiment of the sweep has
    first, lines = composer.plan(
        ["sweep=covid_segmentation_table", "data.sources.qatar_covid.convention=with_heart"], multirun=False
    )
    assert first.multirun
    assert first.config["data"]["sources"]["qatar_covid"]["convention"] == "with_heart"
    assert "++data.sources.qatar_covid.convention=with_heart" in lines


def test_a_key_that_no_job_of_a_sweep_over_experiments_has_is_refused(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="did you mean `convention`"):
        composer.plan(
            ["sweep=covid_segmentation_table", "data.sources.qatar_covid.conventio=with_heart"], multirun=False
        )


@pytest.mark.parametrize(
    ("lines", "multirun"),
    [
        (["sweep=dual_encoder_table", "model.in_channels=1"], False),
        (["experiment=unet_mc_sh,dual_encoder_mc_sh", "model.in_channels=1"], True),
    ],
    ids=["group", "by-hand"],
)
def test_values_beside_swept_experiments_are_forced_into_hydra_s_first_composition(
    composer: Composer, lines: list[str], multirun: bool
) -> None:
    # it is made without the swept experiments, and the default one states no model.in_channels
    assert "++model.in_channels=1" in composer.plan(lines, multirun=multirun)[1]
