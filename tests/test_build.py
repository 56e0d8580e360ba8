"""From configuration to objects: what is built, what is left out, and whose key a mistake names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lungseg import build
from lungseg.data.augment.none import NoAugmentation
from lungseg.data.preprocess.resize import Resize
from lungseg.data.sources.mc_sh import McShSource
from lungseg.data.sources.montgomery import MontgomerySource
from lungseg.data.sources.shenzhen import ShenzhenSource
from lungseg.errors import ConfigError, DataError, ResourceError
from lungseg.postprocess.threshold import Threshold
from tests.toy import phantom_config
from tests.toy_classes import classes_config

DATA = "lungseg.data"


@pytest.fixture(scope="module")
def cfg(tmp_path_factory) -> dict:
    return phantom_config("train", tmp_path_factory.mktemp("outputs") / "run")


@pytest.fixture(scope="module", params=["multiclass", "multilabel"])
def of_classes(request, tmp_path_factory) -> dict:
    return classes_config("train", tmp_path_factory.mktemp("outputs") / "run", kind=request.param)


class TestMake:
    def test_arguments_come_from_the_node_and_from_code(self):
        node = {"_target_": f"{DATA}.preprocess.resize.Resize", "size": [16, 24]}
        resize = build.make(node, "preprocess.steps.resize", mode="letterbox")
        assert isinstance(resize, Resize)
        assert (resize.size, resize.mode) == ((16, 24), "letterbox")

    def test_an_error_of_ours_comes_out_as_itself(self):
        with pytest.raises(ConfigError, match=r"^preprocess\.steps\.resize\.size=\[1, 1\]"):
            build.make({"_target_": f"{DATA}.preprocess.resize.Resize", "size": [1, 1]}, "preprocess.steps.resize")

    def test_any_other_error_names_the_key_and_the_class(self):
        with pytest.raises(
            ConfigError, match=r"optimizer: torch\.optim\.Adam cannot be built: .* beta .*below optimizer"
        ):
            build.make({"_target_": "torch.optim.Adam", "betas": [2, 2]}, "optimizer", params=[torch.zeros(1)])

    def test_a_class_that_cannot_be_imported_names_the_key(self):
        with pytest.raises(ConfigError, match=r"model: lungseg\.models\.nothing\.Net cannot be built"):
            build.make({"_target_": "lungseg.models.nothing.Net"}, "model")


class TestMaps:
    """Sources, steps and callbacks are maps; an entry that is null is left out."""

    def test_a_source_set_to_null_is_left_out(self, cfg):
        node = cfg["data"]["sources"]["phantom"]
        changed = {**cfg, "data": {**cfg["data"], "sources": {"one": node, "two": None}}}
        assert list(build.sources(changed)) == ["one"]

    def test_no_source_is_refused(self, cfg):
        with pytest.raises(ConfigError, match=r"data\.sources is empty"):
            build.sources({**cfg, "data": {**cfg["data"], "sources": {"two": None}}})

    def test_steps_keep_their_order_and_null_ones_are_left_out(self, cfg):
        assert list(build.steps(cfg)) == ["grey", "resize"]
        fewer = {**cfg["preprocess"], "steps": {**cfg["preprocess"]["steps"], "grey": None}}
        assert list(build.steps({**cfg, "preprocess": fewer})) == ["resize"]

    def test_callbacks_and_loggers_set_to_null_are_left_out(self, cfg):
        changed = {**cfg, "callbacks": {**cfg["callbacks"], "overlays": None}}
        assert "overlays" not in build.callbacks(changed)
        assert build.loggers({**cfg, "logger": {"wandb": None}}, Path()) == []


class TestNetwork:
    def test_it_has_one_output_for_each_structure(self, cfg):
        three = {**cfg, "data": {**cfg["data"], "structures": ["right_lung", "left_lung", "heart"]}}
        assert build.network(three)(torch.zeros(1, 1, 32, 32)).shape == (1, 3, 32, 32)

    def test_a_softmax_gives_the_background_one_more(self, cfg):
        softmax = {**cfg, "task": {**cfg["task"], "activation": "softmax"}}
        assert build.network(softmax)(torch.zeros(1, 1, 32, 32)).shape == (1, 2, 32, 32)

    def test_published_weights_are_looked_for_only_when_training_starts(self, cfg):
        model = {"_target_": "lungseg.models.smp.Smp", "encoder": "resnet18", "weights": "/nowhere/weights.pth"}
        asks = {**cfg, "model": model}
        assert build.network(asks)
        with pytest.raises((ConfigError, ResourceError), match=r"/nowhere/weights\.pth"):
            build.network(asks, pretrained=True)

    def test_its_weights_are_drawn_from_the_seed(self, cfg):
        one, other, third = (build.network({**cfg, "seed": seed}).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert not all(torch.equal(one[name], third[name]) for name in one)


class TestTask:
    def test_it_is_handed_network_loss_seed_and_threshold(self, cfg):
        task = build.task({**cfg, "seed": 5})
        assert (task.seed, task.monitor, task.threshold, task.structures) == (5, "val/dice", 0.5, ("lungs",))

    def test_a_scheduler_of_null_keeps_the_learning_rate(self, cfg):
        assert build.task({**cfg, "scheduler": None})._scheduler is None

    def test_the_threshold_of_training_is_that_of_the_postprocessing(self, cfg):
        steps = {"threshold": {**cfg["postprocess"]["steps"]["threshold"], "value": 0.3}}
        assert build.task({**cfg, "postprocess": {"steps": steps}}).threshold == 0.3
        assert isinstance(build.postprocess(cfg).steps["threshold"], Threshold)


class TestLoss:
    def test_a_loss_for_other_channels_than_the_network_gives_is_refused_before_anything_is_trained(self, cfg):
        softmax = {**cfg, "task": {**cfg["task"], "activation": "softmax"}}
        with pytest.raises(ConfigError, match=r"loss does not fit task\.activation=softmax with 1 structures"):
            build.loss(softmax)


class TestData:
    def test_the_union_of_two_sources_is_one_table(self, cfg, tmp_path):
        from lungseg.data.phantom.layouts import write_layout

        nodes = {}
        for name, target in (("montgomery", "MontgomerySource"), ("shenzhen", "ShenzhenSource")):
            root = write_layout(name, tmp_path / name, n=3, size=(64, 64)).root
            target = f"{DATA}.sources.{name}.{target}"
            nodes[name] = {"_target_": target, "root": str(root), "missing": "drop"}
        table, homes, facts = build.table({**cfg, "data": {**cfg["data"], "sources": nodes}})
        assert set(homes) == {"montgomery", "shenzhen"}
        assert len(table) == facts["montgomery"]["n"] + facts["shenzhen"]["n"]

    def test_given_constants_take_the_place_of_those_of_the_config(self, cfg, tmp_path):
        data = build.data(cfg, tmp_path, test_parts=("test",), normalize={"mean": 0.4, "std": 0.2})
        assert (data.module.normalize.mean, data.module.normalize.std) == (0.4, 0.2)
        assert data.facts["normalize"] == {"mean": 0.4, "std": 0.2}

    def test_no_augmentation_group_augments_nothing(self, cfg, tmp_path):
        data = build.data({**cfg, "augment": None}, tmp_path, test_parts=("test",))
        assert data.module.augment is None
        none = {"_target_": f"{DATA}.augment.none.NoAugmentation"}
        data = build.data({**cfg, "augment": none}, tmp_path, test_parts=("test",))
        assert isinstance(data.module.augment, NoAugmentation)

    def test_an_unknown_structure_is_refused_with_the_near_name(self, cfg, tmp_path):
        wrong = {**cfg, "data": {**cfg["data"], "structures": ["lung"]}}
        with pytest.raises(ConfigError, match=r"'lung'.*Did you mean 'lungs'"):
            build.data(wrong, tmp_path, test_parts=("test",))

    def test_a_patient_in_two_parts_is_refused_unless_allowed(self, cfg, tmp_path):
        by_sample = {**cfg, "split": {**cfg["split"], "by": "sample"}}
        with pytest.raises(DataError, match="more than one part"):
            build.data(by_sample, tmp_path, test_parts=("test",))
        allowed = build.data({**by_sample, "allow_leakage": True}, tmp_path, test_parts=("test",))
        assert len(allowed.module.positions("test"))

    def test_runs_of_other_seeds_may_share_their_split(self, cfg, tmp_path):
        found = [
            build.data({**cfg, **seeds}, tmp_path, test_parts=("test",)).facts["split"]
            for seeds in ({"seed": 0}, {"seed": 5, "split_seed": 0}, {"seed": 5})
        ]
        assert [facts["seed"] for facts in found] == [0, 0, 5]
        assert found[0]["hash"] == found[1]["hash"] != found[2]["hash"]


class TestClasses:
    """What is built otherwise where classes are told apart."""

    def test_the_network_has_one_output_for_each_class(self, of_classes):
        assert build.network(of_classes)(torch.zeros(2, 1, 32, 32)).shape == (2, len(of_classes["data"]["classes"]))

    def test_the_task_knows_classes_and_kind(self, of_classes):
        task = build.task(of_classes)
        assert task.classes == tuple(of_classes["data"]["classes"])
        assert (task.kind, task.monitor) == (of_classes["task"]["kind"], "val/loss")

    @pytest.mark.parametrize("given", [[[3, 9], [4, 8], [5, 7]], None])
    def test_a_loss_that_asks_for_counts_of_the_training_part_gets_them(self, of_classes, given):
        asks = {**of_classes, "loss": {"_target_": "tests.toy_classes.CountingLoss"}}
        assert build.loss(asks, counts=given).counts == given
        assert build.loss(of_classes, counts=given)

    def test_counts_of_the_config_stand(self, of_classes):
        given = [[1, 2], [3, 4], [5, 6]]
        asks = {**of_classes, "loss": {"_target_": "tests.toy_classes.CountingLoss", "counts": given}}
        assert build.loss(asks, counts=[[9, 9]] * 3).counts == given

    def test_no_masks_are_read_and_images_carry_labels(self, of_classes, tmp_path):
        data = build.data(of_classes, tmp_path, test_parts=("test",))
        assert data.module.store.structures == ()
        assert data.module.classes == tuple(of_classes["data"]["classes"])
        assert data.module.labels.shape[0] == 24
        data.module.require("train", "val", "test")

    def test_thresholds_are_chosen_for_labels_alone(self, of_classes):
        multilabel = of_classes["task"]["kind"] == "multilabel"
        assert (build.threshold_choice(of_classes) is not None) == multilabel
        fixed = {**of_classes, "metrics": {**of_classes["metrics"], "thresholds": None}}
        assert build.threshold_choice(fixed) is None

    def test_results_are_measured_as_the_task_is(self, cfg, of_classes):
        assert type(build.tester(cfg, facts={}, thresholds=None)).__name__ == "PerSample"
        tester = build.tester(of_classes, facts={}, thresholds={of_classes["data"]["classes"][0]: 0.2})
        assert type(tester).__name__ == "PerSampleClasses"
        assert next(iter(tester.thresholds.values())) == 0.2

    def test_a_set_of_classes_has_nothing_to_outline(self, cfg, tmp_path):
        empty = {**cfg, "data": {**cfg["data"], "structures": [], "classes": ["normal", "lobar"]}}
        with pytest.raises(ConfigError, match=r"nothing to outline.*normal, lobar.*task=multiclass"):
            build.data(empty, tmp_path, test_parts=("test",))


class TestTrainer:
    def test_it_works_in_the_run_folder_and_logs_where_it_is_told(self, cfg, tmp_path):
        trainer = build.trainer(cfg, tmp_path, callbacks=[], loggers=[])
        assert trainer.default_root_dir == str(tmp_path)
        assert trainer.loggers == []
        assert trainer.max_epochs == 2

    def test_no_epochs_are_refused(self, cfg, tmp_path):
        with pytest.raises(ConfigError, match=r"trainer\.max_epochs=0"):
            build.trainer({**cfg, "trainer": {**cfg["trainer"], "max_epochs": 0}}, tmp_path, callbacks=[], loggers=[])

    def test_a_mistake_in_its_keys_names_them(self, cfg, tmp_path):
        wrong = {**cfg, "trainer": {**cfg["trainer"], "precision": "13-bit"}}
        with pytest.raises(ConfigError, match=r"trainer: .* cannot be built: .*13-bit"):
            build.trainer(wrong, tmp_path, callbacks=[], loggers=[])


class TestSharedPatients:
    def test_a_union_of_two_sources_with_the_same_patients_is_refused_and_says_which_to_take_out(self):
        homes = {"mc_sh": (McShSource(), Path("a")), "shenzhen": (ShenzhenSource(), Path("b"))}
        with pytest.raises(DataError, match=r"mc_sh and shenzhen.*data\.sources\.shenzhen=null"):
            build.refuse_shared_patients(homes)

    def test_montgomery_and_shenzhen_together_are_fine(self):
        homes = {"montgomery": (MontgomerySource(), Path("a")), "shenzhen": (ShenzhenSource(), Path("b"))}
        build.refuse_shared_patients(homes)


def test_batch_norms_joined_on_the_processor_are_refused(tmp_path):
    node = {"_target_": "lightning.Trainer", "accelerator": "cpu", "devices": 1, "max_epochs": 1}
    with pytest.raises(ConfigError, match=r"trainer\.sync_batchnorm=true needs GPUs"):
        build.trainer({"trainer": {**node, "sync_batchnorm": True}}, tmp_path, callbacks=[], loggers=[])
