"""Classifiers through the real config: train, test, go on, evaluate and predict, and what is refused on the way."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.datasets import load_sample_image

import lungseg
from lungseg import checkpoint
from lungseg.classifier import Classifier
from lungseg.commands import evaluate, predict, train
from lungseg.data.phantom.generator import Phantom
from lungseg.errors import CheckpointError, ConfigError, DataError, PreemptedError
from tests.commands.test_train import StopAfter
from tests.toy_classes import classes_config

pytestmark = pytest.mark.usefixtures("one_process")
NAMES = {"multiclass": ["normal", "lobar", "bilateral"], "multilabel": ["lobar", "bilateral"]}
KINDS = list(NAMES)


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Run folders of a multiclass and a multilabel trained for two epochs; do not write to them."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "cores", lambda: 1)
        for kind in KINDS:
            found[kind] = tmp_path_factory.mktemp("outputs") / kind
            train.run(classes_config("train", found[kind], kind=kind))
    return found


@pytest.mark.parametrize("kind", KINDS)
class TestTrain:
    def test_a_run_has_the_files_of_any_run_and_pictures(self, runs, kind):
        files = {path.relative_to(runs[kind]).as_posix() for path in runs[kind].rglob("*") if path.is_file()}
        assert {
            "config.yaml", "status.json", "env.json", "data.json", "split.parquet", "epochs.csv", "model.json",
            "metrics.json", "per_sample.parquet", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
            "overlays/index.json", "overlays/test_worst_1.png", "examples/index.json", "examples/1.png",
        } <= files  # fmt: skip
        assert not [name for name in files if name.endswith(".part")]
        assert ("thresholds.json" in files) == (kind == "multilabel")

    def test_each_tested_image_has_a_row(self, runs, kind):
        split = pd.read_parquet(runs[kind] / "split.parquet")
        rows = pd.read_parquet(runs[kind] / "per_sample.parquet")
        assert sorted(rows["sample_id"]) == sorted(split.loc[split["part"] == "test", "sample_id"])
        truth = rows[[f"t_{name}" for name in NAMES[kind]]].to_numpy()
        assert (truth == np.array([[label == name for name in NAMES[kind]] for label in rows["label"]])).all()

    def test_epochs_have_the_values_of_classes(self, runs, kind):
        table = pd.read_csv(runs[kind] / "epochs.csv")
        assert {"train/loss", "train/macro_f1", "val/loss", "val/macro_f1", "val/accuracy"} <= set(table.columns)
        assert checkpoint.load(runs[kind]).epoch == table.loc[table["val/loss"].idxmin(), "epoch"]

    def test_the_checkpoint_says_what_its_outputs_mean(self, runs, kind):
        record = checkpoint.load(runs[kind]).record
        assert (record["classes"], record["kind"], record["structures"]) == (NAMES[kind], kind, [])
        assert set(record["thresholds"]) == (set(NAMES[kind]) if kind == "multilabel" else set())
        assert json.loads(json.dumps(record)) == record

    def test_images_are_normalised_by_the_training_part(self, runs, kind):
        norm = checkpoint.load(runs[kind]).record["normalize"]
        assert norm == read(runs[kind], "data.json")["normalize"]
        assert 0.2 < norm["mean"] < 0.8  # equalised images have a mean near the middle
        assert 0.1 < norm["std"] < 0.5

    def test_classes_are_counted_by_part(self, runs, kind):
        found = read(runs[kind], "data.json")["classes"]
        labels = pd.read_parquet(runs[kind] / "per_sample.parquet")["label"]
        assert found["names"] == NAMES[kind]
        for name in NAMES[kind]:
            assert found["counts"]["test"][name]["positive"] == (labels == name).sum()


def test_thresholds_of_labels_are_of_the_validation_part_and_results_are_of_them(runs):
    record = checkpoint.load(runs["multilabel"]).record
    chosen, found = read(runs["multilabel"], "thresholds.json"), read(runs["multilabel"], "metrics.json")
    assert chosen["part"] == "val"
    assert {name: each["threshold"] for name, each in chosen["labels"].items()} == record["thresholds"]
    assert found["thresholds"] == record["thresholds"]


def test_thresholds_can_stay_where_they_are(tmp_path):
    config = classes_config("train", tmp_path / "run", "metrics.thresholds=null", kind="multilabel")
    train.run(config)
    assert read(tmp_path / "run", "metrics.json")["thresholds"] == {"lobar": 0.5, "bilateral": 0.5}


@pytest.mark.parametrize("batches", [2, 4])
def test_a_stopped_run_goes_on_to_the_same_results(tmp_path, monkeypatch, runs, batches):
    folder = tmp_path / "run"
    callbacks = train.build.callbacks
    with monkeypatch.context() as patch:
        patch.setattr(train.build, "callbacks", lambda cfg: {**callbacks(cfg), "stop": StopAfter(batches=batches)})
        with pytest.raises(PreemptedError):
            train.run(classes_config("train", folder))
    train.run(classes_config("train", folder, f"resume={folder}"))
    one, other = (pd.read_parquet(place / "per_sample.parquet") for place in (folder, runs["multiclass"]))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("batches", [2, 5])
def test_drawn_samples_and_a_backbone_unfrozen_later_are_resumed_exactly(tmp_path, monkeypatch, batches):
    """Three batches an epoch; the backbone is trained from the fourth on."""
    net = ["model=timm", "model.backbone=test_resnet", "loss=cross_entropy"]
    lines = ["balance=weighted", "model.freeze=backbone", "model.unfreeze_at_epoch=2", "test=last"]
    straight, folder = tmp_path / "straight", tmp_path / "run"
    train.run(classes_config("train", straight, *lines, net=net))
    callbacks = train.build.callbacks
    with monkeypatch.context() as patch:
        patch.setattr(train.build, "callbacks", lambda cfg: {**callbacks(cfg), "stop": StopAfter(batches=batches)})
        with pytest.raises(PreemptedError):
            train.run(classes_config("train", folder, *lines, net=net))
    train.run(classes_config("train", folder, f"resume={folder}", *lines, net=net))
    one, other = (checkpoint.load(place / "checkpoints/last.ckpt").weights for place in (folder, straight))
    assert all(torch.equal(one[name], other[name]) for name in other)
    one, other = (pd.read_parquet(place / "per_sample.parquet") for place in (folder, straight))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_run_does_not_go_on_with_its_classes_in_another_order(tmp_path, runs):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints/last.ckpt").write_bytes((runs["multiclass"] / "checkpoints/last.ckpt").read_bytes())
    with pytest.raises(CheckpointError, match=r"classes: \['normal', 'lobar', 'bilateral'\] before"):
        train.run(classes_config("train", folder, f"resume={folder}", "data.classes=[lobar,normal,bilateral]"))


class TestRefused:
    def test_classes_are_asked_for_before_anything_is_made(self, tmp_path):
        with pytest.raises(ConfigError, match=r"task=multiclass needs the names of the classes.*data\.classes="):
            classes_config("train", tmp_path / "run", "data.classes=[]")

    @pytest.mark.parametrize(
        ("classes", "error", "said"),
        [
            ("[normal,lobar]", DataError, "'bilateral', which is none of data.classes"),
            ("[normal,lobar,bilateral,round]", DataError, "no image is of round"),
            ("[normal]", ConfigError, "is a single class"),
            ("[normal,lobar,bilateral,normal]", ConfigError, "more than once"),
        ],
        ids=["label outside", "without images", "single", "twice"],
    )
    def test_classes_that_do_not_fit_the_labels(self, tmp_path, classes, error, said):
        with pytest.raises(error, match=said):
            train.run(classes_config("train", tmp_path / "run", f"data.classes={classes}"))

    @pytest.mark.parametrize(
        ("net", "said"),
        [
            (["model=timm", "model.backbone=resnet1", "loss=cross_entropy"], "no network of timm; did you mean"),
            (["model=timm", "model.backbone=test_resnet", "loss=cross_entropy", "model.weights=nix"], "does not exist"),
            (
                ["model=timm", "model.backbone=test_resnet", "loss=cross_entropy", "loss.class_weights=[1,2]"],
                "2 values",
            ),
        ],
        ids=["network", "weights", "loss"],
    )
    def test_a_mistake_in_the_network_is_told_before_the_radiographs_are_prepared(
        self, tmp_path, monkeypatch, net, said
    ):
        monkeypatch.setattr(train.build, "data", lambda *_, **__: pytest.fail("the data were read first"))
        with pytest.raises(ConfigError, match=said):
            train.run(classes_config("train", tmp_path / "run", net=["model=timm", "loss=cross_entropy", *net]))

    def test_a_loss_of_masks(self, tmp_path):
        with pytest.raises(ConfigError, match=r"loss does not fit task=multiclass with 3 classes.*BCELoss"):
            train.run(classes_config("train", tmp_path / "run", "loss={_target_: lungseg.losses.bce.BCELoss}"))

    def test_a_loss_of_classes_for_masks(self, tmp_path):
        lines = ["task=segmentation", "data.structures=[lungs]"]
        with pytest.raises(ConfigError, match=r"loss does not fit task\.activation=sigmoid.*multiclass or multilabel"):
            train.run(classes_config("train", tmp_path / "run", *lines))

    def test_thresholds_without_a_part_to_choose_them_on_before_anything_is_trained(self, tmp_path):
        lines = ["split.train=0.7", "split.val=0", "split.test=0.3"]
        with pytest.raises(ConfigError, match=r"metrics\.thresholds needs a validation part"):
            train.run(classes_config("train", tmp_path / "run", *lines, kind="multilabel"))
        assert not (tmp_path / "run" / "epochs.csv").exists()

    def test_thresholds_chosen_on_what_is_tested(self, tmp_path):
        with pytest.raises(ConfigError, match=r"metrics\.thresholds=null or test_parts=\[test\]"):
            classes_config("train", tmp_path / "run", "test_parts=[val,test]", kind="multilabel")


def evaluated(folder: Path, place: Path, *overrides: str) -> dict:
    evaluate.run(classes_config("evaluate", folder, f"checkpoint={place}", *overrides))
    return read(folder, "metrics.json")


OTHER = ["data=phantom", "data.sources.phantom.n=9", "data.sources.phantom.size=[32,32]", "data.sources.phantom.seed=5"]


class TestEvaluate:
    @pytest.mark.parametrize("kind", KINDS)
    def test_its_own_test_part_gives_exactly_what_training_gave(self, tmp_path, runs, kind):
        assert evaluated(tmp_path / "run", runs[kind])["parts"] == read(runs[kind], "metrics.json")["parts"]
        one, other = (pd.read_parquet(place / "per_sample.parquet") for place in (tmp_path / "run", runs[kind]))
        pd.testing.assert_frame_equal(one, other, check_exact=True)

    def test_other_data_are_taken_for_the_same_classes(self, tmp_path, runs):
        found = evaluated(tmp_path / "run", runs["multiclass"], *OTHER, "allow_leakage=true")
        assert found["classes"] == NAMES["multiclass"]
        assert found["parts"]["test"]["all"]["n"] == 9

    @pytest.mark.parametrize(
        ("classes", "said"),
        [("[lobar,normal,bilateral]", "in this order"), ("[well,ill]", "names too")],
        ids=["order", "names"],
    )
    def test_classes_in_another_order_or_others_are_refused(self, tmp_path, runs, classes, said):
        with pytest.raises(CheckpointError, match=rf"{said}.*data\.classes=\[normal,lobar,bilateral\]"):
            evaluated(tmp_path / "run", runs["multiclass"], *OTHER, f"data.classes={classes}")

    def test_a_threshold_is_of_all_labels_and_of_no_multiclass(self, tmp_path, runs):
        found = evaluated(tmp_path / "run", runs["multilabel"], "threshold=0.9")
        assert found["thresholds"] == {"lobar": 0.9, "bilateral": 0.9}
        with pytest.raises(ConfigError, match=r"threshold=0\.9.*most probable"):
            evaluated(tmp_path / "other", runs["multiclass"], "threshold=0.9")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Two radiographs, a photograph and a file that is none."""
    folder = tmp_path_factory.mktemp("in")
    for index in (0, 1):
        pixels = np.round(Phantom(3, (96, 96)).sample(index).pixels * np.float32(1)).astype(np.uint8)
        cv2.imwrite(str(folder / f"chest{index}.png"), pixels)
    cv2.imwrite(str(folder / "flower.png"), load_sample_image("flower.jpg")[..., ::-1])
    return folder


def labels(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", KINDS)
class TestPredict:
    def test_every_picture_has_its_probabilities_and_a_doubtful_one_a_flag(
        self, tmp_path, runs, pictures, kind, caplog
    ):
        with caplog.at_level("WARNING"):
            predict.run(classes_config("predict", tmp_path / "run", f"checkpoint={runs[kind]}", f"input={pictures}"))
        rows = labels(tmp_path / "run")
        assert [row["file"] for row in rows] == ["chest0.png", "chest1.png", "flower.png"]
        assert list(rows[0]) == ["file", *(f"p_{name}" for name in NAMES[kind]), "predicted", "flag", "error"]
        assert [bool(row["flag"]) for row in rows] == [False, False, True]
        assert "in colour" in rows[2]["flag"]
        assert "1 of 3 pictures may be no frontal chest radiographs: flower.png" in caplog.text
        assert not (tmp_path / "run" / "masks").exists()

    def test_it_is_what_the_classifier_says(self, tmp_path, runs, pictures, kind):
        predict.run(classes_config("predict", tmp_path / "run", f"checkpoint={runs[kind]}", f"input={pictures}"))
        classifier = lungseg.load(runs[kind], device="cpu")
        assert isinstance(classifier, Classifier)
        for row in labels(tmp_path / "run"):
            found = classifier(pictures / row["file"])
            assert row["predicted"] == found.predicted
            for name, chance in found.probabilities.items():
                assert float(row[f"p_{name}"]) == pytest.approx(chance, abs=1e-5)

    def test_a_file_that_cannot_be_read_is_named_at_the_end(self, tmp_path, runs, kind):
        (tmp_path / "in").mkdir()
        cv2.imwrite(str(tmp_path / "in/a.png"), np.tile(np.arange(96, dtype=np.uint8), (96, 1)))
        (tmp_path / "in/b.png").write_text("no image")
        config = classes_config("predict", tmp_path / "run", f"checkpoint={runs[kind]}", f"input={tmp_path / 'in'}")
        with pytest.raises(DataError, match=r"1 of 2 files could not be read: b\.png.*labels\.csv"):
            predict.run(config)
        rows = labels(tmp_path / "run")
        assert (rows[0]["error"], rows[1]["predicted"]) == ("", "")
        assert "b.png" in rows[1]["error"]


def test_a_prediction_equals_the_test_of_the_same_image(tmp_path, runs):
    """The phantom's file goes the way of preprocessing that the store went."""
    rows = pd.read_parquet(runs["multiclass"] / "per_sample.parquet")
    first = rows.iloc[0]
    index = int(first["sample_id"].rsplit("/", 1)[-1])
    pixels = Phantom(0, (32, 32)).sample(index).pixels
    found = lungseg.load(runs["multiclass"], device="cpu")(np.asarray(pixels))
    assert list(found.probabilities.values()) == pytest.approx(
        [first[f"p_{name}"] for name in NAMES["multiclass"]], abs=1e-6
    )


def test_a_multiclass_takes_no_threshold(runs):
    with pytest.raises(ConfigError, match="takes the most probable one"):
        lungseg.load(runs["multiclass"], device="cpu", threshold=0.3)
    labelled = lungseg.load(runs["multilabel"], device="cpu", threshold=0.3)
    assert labelled.thresholds == {"lobar": 0.3, "bilateral": 0.3}


class TestBalance:
    def test_it_takes_from_the_training_part_alone_and_a_test_finds_the_same_split_again(self, tmp_path, runs):
        train.run(classes_config("train", tmp_path / "run", "balance=undersample"))
        before, after = (read(place, "data.json") for place in (runs["multiclass"], tmp_path / "run"))
        counts = [n["positive"] for n in after["classes"]["counts"]["train"].values()]
        assert counts == [min(n["positive"] for n in before["classes"]["counts"]["train"].values())] * 3
        assert after["classes"]["counts"]["test"] == before["classes"]["counts"]["test"]
        assert (before["balance"], after["balance"]) == ("NoBalance", "Undersample")
        found = evaluated(tmp_path / "own", tmp_path / "run")
        assert found["parts"] == read(tmp_path / "run", "metrics.json")["parts"]

    def test_weights_draw_rare_classes_more_often(self, tmp_path):
        lines = ["balance=weighted", "trainer.max_epochs=1"]
        train.run(classes_config("train", tmp_path / "run", *lines))
        assert read(tmp_path / "run", "data.json")["balance"] == "WeightedSampling"

    def test_other_data_are_tested_whole(self, tmp_path):
        train.run(classes_config("train", tmp_path / "run", "balance=undersample", "trainer.max_epochs=1"))
        found = evaluated(tmp_path / "other", tmp_path / "run", *OTHER, "allow_leakage=true")
        assert found["parts"]["test"]["all"]["n"] == 9


class TestLungs:
    """Preprocessing that goes by lung masks: as published, or drawn by a segmentation net."""

    def test_masks_of_the_set_change_what_is_seen_and_are_none_for_other_pictures(self, tmp_path, runs, pictures):
        train.run(classes_config("train", tmp_path / "run", "lungs=lungs_only"))
        whole, lungs = (
            read(place, "data.json")["normalize"]["mean"] for place in (runs["multiclass"], tmp_path / "run")
        )
        assert lungs < whole - 0.1  # black around the lungs
        with pytest.raises(ConfigError, match=r"lungs\.masks=disk names no checkpoint of a segmentation net"):
            predict.run(
                classes_config("predict", tmp_path / "out", f"checkpoint={tmp_path / 'run'}", f"input={pictures}")
            )

    def test_a_net_draws_them_for_the_store_and_for_pictures(self, tmp_path, trained_run, pictures):
        lines = ["lungs=lungs_only", f"lung_masks={trained_run}", "trainer.max_epochs=1"]
        with pytest.raises(CheckpointError, match="holds patients of phantom"):
            train.run(classes_config("train", tmp_path / "seen", *lines))
        empty = "preprocess.steps.lungs.empty=keep"  # it has learnt for two epochs
        train.run(classes_config("train", tmp_path / "run", *lines, empty, "allow_leakage=true"))
        drawn = list((tmp_path / "store" / "lung_masks").rglob("*.png"))
        assert len(drawn) == 24
        predict.run(classes_config("predict", tmp_path / "out", f"checkpoint={tmp_path / 'run'}", f"input={pictures}"))
        assert len(labels(tmp_path / "out")) == 3
        classifier = lungseg.load(tmp_path / "run", device="cpu")
        assert classifier.segmenter.structures == ("lungs",)

    def test_a_classifier_draws_no_lungs(self, tmp_path, runs):
        lines = ["lungs=lungs_only", f"lung_masks={runs['multiclass']}"]
        with pytest.raises(CheckpointError, match="is a classifier and draws no lungs"):
            train.run(classes_config("train", tmp_path / "run", *lines))

    def test_a_trained_net_is_tested_on_each_part_of_the_picture(self, tmp_path, runs):
        whole = evaluated(tmp_path / "whole", runs["multiclass"], "lungs=full", "lung_masks=disk")
        assert whole["parts"] == read(runs["multiclass"], "metrics.json")["parts"]
        frame = evaluated(tmp_path / "frame", runs["multiclass"], "lungs=border_only")
        assert frame["parts"] != whole["parts"]
        for place, mode in (("whole", math.nan), ("frame", 0.5)):
            kept = pd.read_parquet(tmp_path / place / "per_sample.parquet")["kept"]
            assert kept.isna().all() if math.isnan(mode) else kept.between(0.2, 0.9).all()
        steps = yaml.safe_load((tmp_path / "frame" / "config.yaml").read_text())["preprocess"]["steps"]
        assert (next(iter(steps)), steps["lungs"]["masks"]) == ("lungs", "disk")
        assert read(tmp_path / "frame", "data.json")["normalize"] == read(runs["multiclass"], "data.json")["normalize"]

    def test_a_net_of_a_part_is_tested_on_it_and_on_the_whole(self, tmp_path, trained_run):
        lines = ["lungs=border_only", f"lung_masks={trained_run}", "trainer.max_epochs=1", "allow_leakage=true"]
        train.run(classes_config("train", tmp_path / "run", *lines, "preprocess.steps.lungs.empty=keep"))
        own = evaluated(tmp_path / "own", tmp_path / "run", "allow_leakage=true")
        assert own["parts"] == read(tmp_path / "run", "metrics.json")["parts"]
        evaluated(tmp_path / "whole", tmp_path / "run", "lungs=full", "allow_leakage=true")
        assert "kept" not in read(tmp_path / "whole", "data.json")
        evaluated(tmp_path / "disk", tmp_path / "run", "lung_masks=disk")
        config = yaml.safe_load((tmp_path / "disk" / "config.yaml").read_text())
        assert config["preprocess"]["steps"]["lungs"]["masks"] == "disk"

    def test_masks_that_nothing_goes_by_are_refused(self, tmp_path, runs):
        with pytest.raises(ConfigError, match=r"lung_masks=disk, but the whole picture.*lungs=border_only"):
            evaluated(tmp_path / "out", runs["multiclass"], "lung_masks=disk")

    def test_the_share_of_pixels_kept_is_told_by_class(self, tmp_path, runs):
        evaluated(tmp_path / "run", runs["multiclass"], "lungs=lungs_only")
        kept, rows = read(tmp_path / "run", "data.json")["kept"], pd.read_parquet(tmp_path / "run/per_sample.parquet")
        for name in NAMES["multiclass"]:
            of = rows.loc[rows["label"] == name, "kept"].astype(float)
            assert kept["test"][name]["n"] == len(of)
            assert kept["test"][name]["mean"] == pytest.approx(of.mean(), abs=1e-6)
            assert kept["test"][name]["sd"] == (pytest.approx(of.std(), abs=1e-6) if len(of) > 1 else None)
        counts = read(tmp_path / "run", "data.json")["split"]["counts"]
        assert {part: sum(found["n"] for found in of.values()) for part, of in kept.items()} == {
            part: counts[part] for part in ("train", "val", "test")
        }


NETS = {
    "multiclass": ["model=timm", "loss=cross_entropy", "loss.class_weights=inverse"],
    "multilabel": ["model=timm", "loss=bce_multilabel", "loss.pos_weight=neg_pos"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_network_and_a_weighted_loss_go_the_whole_way(tmp_path, kind):
    net = [*NETS[kind], "model.backbone=test_resnet"]
    train.run(classes_config("train", tmp_path / "run", "trainer.max_epochs=1", "report=true", kind=kind, net=net))
    counts = checkpoint.load(tmp_path / "run").record["class_counts"]
    told = read(tmp_path / "run", "data.json")["classes"]["counts"]["train"]
    assert counts == [[told[name]["positive"], told[name]["negative"]] for name in NAMES[kind]]
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    places, rows = (pd.read_parquet(tmp_path / "run" / f"{name}.parquet") for name in ("embedding", "per_sample"))
    assert places["sample_id"].to_list() == rows["sample_id"].to_list()
    assert evaluated(tmp_path / "own", tmp_path / "run")["parts"] == read(tmp_path / "run", "metrics.json")["parts"]
