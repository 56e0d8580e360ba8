"""`explain`: heat maps, energy, neighbours and the map of features, from a classifier's checkpoint."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import lungseg
from lungseg.commands import explain, predict, train
from lungseg.config import compose
from lungseg.data.phantom.generator import Phantom
from lungseg.errors import CheckpointError, ConfigError, DataError, ResourceError
from tests.toy import phantom_config
from tests.toy_classes import classes_config

CLASSES = ["normal", "lobar", "bilateral"]
CORNER = "model={_target_: tests.explain.networks.Corner}"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    """Run folder of a classifier that tells three classes of phantoms apart; do not write to it."""
    folder = tmp_path_factory.mktemp("outputs") / "classes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "cores", lambda: 1)
        train.run(classes_config("train", folder, CORNER, "test=none"))
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two radiographs of different sizes and a file that is none."""
    (tmp_path / "in" / "more").mkdir(parents=True)
    phantom = Phantom(0, (96, 96))
    cv2.imwrite(str(tmp_path / "in/a.png"), phantom.sample(1).pixels)
    cv2.imwrite(str(tmp_path / "in/more/b.png"), cv2.resize(phantom.sample(2).pixels, (80, 72)))
    (tmp_path / "in/notes.txt").write_text("no image")
    return tmp_path / "in"


def run(tmp_path: Path, checkpoint: Path, *overrides: str, name: str = "run") -> Path:
    outputs = [f"paths.outputs={tmp_path}", f"paths.store={tmp_path / 'store'}", "device=cpu"]
    config = compose("explain", [f"checkpoint={checkpoint}", *outputs, *overrides], run_dir=str(tmp_path / name))
    assert explain.run(config) == 0
    return tmp_path / name


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "explain.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def _one_process(monkeypatch) -> None:
    monkeypatch.setattr(explain, "cores", lambda: 1)


class TestPictures:
    @pytest.mark.parametrize("method", ["gradcam", "eigencam", "integrated_gradients"])
    def test_the_predicted_class_of_each_radiograph_gets_a_row_and_a_picture(
        self, tmp_path, classifier, folder, method
    ):
        out = run(tmp_path, classifier, f"input={folder}", f"explain={method}")
        found = rows(out)
        assert [row["file"] for row in found] == ["a.png", "more/b.png"]
        said = lungseg.load(classifier, device="cpu")
        for row in found:
            each = said(folder / row["file"])
            assert row["class"] == row["predicted"] == each.predicted
            assert float(row["probability"]) == pytest.approx(each.probabilities[row["class"]], abs=1e-5)
            assert row["overlay"] == f"overlays/{row['file'][:-4]}_{row['class']}.png"
            assert cv2.imread(str(out / row["overlay"])).shape[0] == 640
            assert (row["energy_in_lungs"], row["neighbours"], row["error"]) == ("", "", "")

    def test_classes_can_be_asked_for(self, tmp_path, classifier, folder):
        found = rows(run(tmp_path, classifier, f"input={folder / 'a.png'}", "classes=[bilateral,normal]"))
        assert [row["class"] for row in found] == ["bilateral", "normal"]

    def test_a_single_class_needs_no_brackets(self, tmp_path, classifier, folder):
        out = run(tmp_path, classifier, f"input={folder / 'a.png'}", "classes=lobar")
        assert [row["class"] for row in rows(out)] == ["lobar"]

    def test_another_layer_gives_another_picture(self, tmp_path, classifier, folder):
        one = run(tmp_path, classifier, f"input={folder / 'a.png'}", "classes=[lobar]")
        other = run(
            tmp_path, classifier, f"input={folder / 'a.png'}", "classes=[lobar]", "explain.layer=conv", name="o"
        )
        assert not np.array_equal(*(cv2.imread(str(out / "overlays/a_lobar.png")) for out in (one, other)))

    def test_what_was_written_into_the_input_is_no_input_the_next_time(self, tmp_path, classifier, folder):
        run(tmp_path, classifier, f"input={folder}", f"output={folder}")
        run(tmp_path, classifier, f"input={folder}", f"output={folder}", name="second")
        assert [row["file"] for row in rows(folder)] == ["a.png", "more/b.png"]

    def test_a_broken_file_is_named_at_the_end_and_the_others_are_done(self, tmp_path, classifier, folder):
        (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:200])
        with pytest.raises(DataError, match=r"1 of 2 files could not be explained: a\.png.*explain\.csv"):
            run(tmp_path, classifier, f"input={folder}")
        found = rows(tmp_path / "run")
        assert [(row["file"], bool(row["error"])) for row in found] == [("a.png", True), ("more/b.png", False)]

    def test_a_picture_that_is_no_radiograph_is_flagged(self, tmp_path, classifier, folder, caplog):
        noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / "a.png"), noise)
        found = rows(run(tmp_path, classifier, f"input={folder}"))
        assert "colour" in found[0]["flag"]
        assert "1 of 2 pictures may be no frontal chest radiographs: a.png" in caplog.text

    def test_a_folder_that_cannot_be_written_is_a_lack_of_resources(self, tmp_path, classifier, folder):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(ResourceError, match="Give another folder with output="):
            run(tmp_path, classifier, f"input={folder}", f"output={tmp_path / 'file' / 'out'}")


class TestLungs:
    def test_masks_from_a_folder_give_the_energy_and_the_area(self, tmp_path, classifier, folder):
        mask = np.zeros((96, 96), np.uint8)
        mask[:, :48] = 255
        (tmp_path / "masks").mkdir()
        cv2.imwrite(str(tmp_path / "masks/a_lungs.png"), mask)
        found = rows(run(tmp_path, classifier, f"input={folder}", f"lung_masks={tmp_path / 'masks'}"))
        assert float(found[0]["lungs_area"]) == 0.5
        assert 0 <= float(found[0]["energy_in_lungs"]) <= 1
        assert found[1]["energy_in_lungs"] == found[1]["lungs_area"] == ""

    def test_two_halves_share_the_energy(self, tmp_path, classifier, folder):
        energy = []
        for side in (slice(0, 48), slice(48, 96)):
            mask = np.zeros((96, 96), np.uint8)
            mask[:, side] = 255
            (tmp_path / f"m{side.start}").mkdir()
            cv2.imwrite(str(tmp_path / f"m{side.start}/a.png"), mask)
            out = run(tmp_path, classifier, f"input={folder / 'a.png'}", f"lung_masks={tmp_path / f'm{side.start}'}",
                      "explain=integrated_gradients", name=f"r{side.start}")  # fmt: skip
            energy.append(float(rows(out)[0]["energy_in_lungs"]))
        assert sum(energy) == pytest.approx(1, abs=1e-5)

    def test_a_segmentation_checkpoint_draws_them(self, tmp_path, classifier, folder, trained_run):
        found = rows(run(tmp_path, classifier, f"input={folder}", f"lung_masks={trained_run}"))
        segment = lungseg.load(trained_run, device="cpu")
        for row in found:
            area = segment(folder / row["file"]).masks["lungs"].mean()
            assert float(row["lungs_area"]) == pytest.approx(area, abs=1e-6)

    def test_what_predict_wrote_can_be_given(self, tmp_path, classifier, folder, trained_run):
        predict.run(phantom_config("predict", tmp_path / "p", f"checkpoint={trained_run}", f"input={folder}"))
        # that is a run folder too, but holds no checkpoint
        drawn = rows(run(tmp_path, classifier, f"input={folder}", f"lung_masks={trained_run}", name="drawn"))
        read = rows(run(tmp_path, classifier, f"input={folder}", f"lung_masks={tmp_path / 'p' / 'masks'}", name="read"))
        assert [row["energy_in_lungs"] for row in read] == [row["energy_in_lungs"] for row in drawn]

    def test_a_single_file_is_for_a_single_radiograph(self, tmp_path, classifier, folder):
        cv2.imwrite(str(tmp_path / "m.png"), np.full((96, 96), 255, np.uint8))
        found = rows(run(tmp_path, classifier, f"input={folder / 'a.png'}", f"lung_masks={tmp_path / 'm.png'}"))
        assert float(found[0]["energy_in_lungs"]) == float(found[0]["lungs_area"]) == 1
        with pytest.raises(ConfigError, match=r"m\.png is one mask, but input=.* is a folder"):
            run(tmp_path, classifier, f"input={folder}", f"lung_masks={tmp_path / 'm.png'}", name="second")

    def test_a_classifier_draws_none(self, tmp_path, classifier, folder):
        with pytest.raises(CheckpointError, match="is a classifier; give the checkpoint of a segmentation run"):
            run(tmp_path, classifier, f"input={folder}", f"lung_masks={classifier}")


class TestPrepared:
    """A classifier that was trained on the lungs alone, with the masks that the set publishes."""

    @pytest.fixture
    def on_lungs(self, tmp_path, classifier) -> Path:
        content = torch.load(classifier / "checkpoints/best.ckpt", weights_only=True)
        steps = content["lungseg"]["config"]["preprocess"]["steps"]
        lungs = {"_target_": "lungseg.data.preprocess.lungs_only.LungsOnly", "masks": "disk"}
        content["lungseg"]["config"]["preprocess"]["steps"] = {"lungs": lungs, **steps}
        torch.save(content, tmp_path / "best.ckpt")
        return tmp_path / "best.ckpt"

    def test_without_masks_it_says_what_to_give(self, tmp_path, on_lungs, folder):
        with pytest.raises(ConfigError, match=r"masks=disk.*can be given too: lung_masks=<folder, or checkpoint>"):
            run(tmp_path, on_lungs, f"input={folder}")

    def test_masks_guide_its_preprocessing(self, tmp_path, on_lungs, folder):
        (tmp_path / "masks").mkdir()
        mask = np.zeros((96, 96), np.uint8)
        mask[20:70, 10:80] = 255
        cv2.imwrite(str(tmp_path / "masks/a.png"), mask)
        with pytest.raises(DataError, match=r"1 of 2 files could not be explained: more/b\.png"):
            run(tmp_path, on_lungs, f"input={folder}", f"lung_masks={tmp_path / 'masks'}", "classes=[normal]")
        found = rows(tmp_path / "run")
        assert "needs a lung mask" in found[1]["error"]
        # what lies around the lungs is black for the network, so it may as well be black in the file
        cut = np.where(mask > 0, cv2.imread(str(folder / "a.png"), cv2.IMREAD_GRAYSCALE), 0)
        cv2.imwrite(str(folder / "a.png"), cut)
        again = run(tmp_path, on_lungs, f"input={folder / 'a.png'}", f"lung_masks={tmp_path / 'masks'}",
                    "classes=[normal]", name="again")  # fmt: skip
        assert rows(again)[0]["probability"] == found[0]["probability"]


class TestFeatures:
    def test_the_parts_asked_for_are_laid_out_with_their_features(self, tmp_path, classifier):
        out = run(tmp_path, classifier, "embedding=true", "parts=[val,test]", "seed=3")
        frame = pd.read_parquet(out / "embedding.parquet")
        split = pd.read_parquet(classifier / "split.parquet").set_index("sample_id")["part"]
        assert set(frame["part"]) == {"val", "test"}
        assert all(split[row.sample_id] == row.part for row in frame.itertuples())
        assert len(frame) == split.isin(["val", "test"]).sum()
        assert np.stack(frame["features"]).shape == (len(frame), 3 * 16)
        assert np.isfinite(frame[["x", "y"]]).all().all()
        assert np.allclose(frame[[f"p_{name}" for name in CLASSES]].sum(axis=1), 1, atol=1e-5)
        assert (out / "embedding.svg").read_text().count("<use") >= len(frame)
        assert not (out / "explain.csv").exists()

    def test_predictions_of_the_map_are_those_of_the_test(self, tmp_path, classifier):
        frame = pd.read_parquet(run(tmp_path, classifier, "embedding=true") / "embedding.parquet")
        chances = frame[[f"p_{name}" for name in CLASSES]].to_numpy()
        assert frame["predicted"].tolist() == [CLASSES[i] for i in chances.argmax(axis=1)]

    def test_the_nearest_training_images_are_named_with_label_and_distance(self, tmp_path, classifier, folder):
        out = run(tmp_path, classifier, f"input={folder}", "neighbours=2")
        split = pd.read_parquet(classifier / "split.parquet").set_index("sample_id")["part"]
        for row in rows(out):
            named = re.findall(r"(phantom/\S+) \((\w+), (\d\.\d{4})\)", row["neighbours"])
            assert len(named) == 2
            assert all(split[sample] == "train" for sample, _, _ in named)
            assert float(named[0][2]) <= float(named[1][2])

    def test_a_training_image_is_its_own_nearest(self, tmp_path, classifier, folder):
        split = pd.read_parquet(classifier / "split.parquet")
        sample = split.loc[split["part"] == "train", "sample_id"].iloc[0]
        pixels = Phantom(0, (32, 32)).sample(int(re.findall(r"\d+", sample)[-1])).pixels
        cv2.imwrite(str(folder / "a.png"), pixels)
        out = run(tmp_path, classifier, f"input={folder / 'a.png'}", "neighbours=1")
        assert rows(out)[0]["neighbours"].startswith(f"{sample} (")
        assert rows(out)[0]["neighbours"].endswith(", 0.0000)")

    def test_another_split_than_in_training_is_refused(self, tmp_path, classifier):
        content = torch.load(classifier / "checkpoints/best.ckpt", weights_only=True)
        content["lungseg"]["split_hash"] = "0" * 64
        torch.save(content, tmp_path / "other.ckpt")
        with pytest.raises(CheckpointError, match="comes out another one than in training"):
            run(tmp_path, tmp_path / "other.ckpt", "embedding=true")


class TestRefused:
    def test_nothing_asked_for(self, tmp_path, classifier):
        with pytest.raises(ConfigError, match="give input=<radiograph or folder>, or embedding=true"):
            run(tmp_path, classifier)

    def test_a_segmentation_checkpoint(self, tmp_path, trained_run, folder):
        with pytest.raises(ConfigError, match=r"segments; explanations are of classifiers.*task=multiclass"):
            run(tmp_path, trained_run, f"input={folder}")

    def test_a_mistyped_class(self, tmp_path, classifier, folder):
        with pytest.raises(ConfigError, match="did you mean bilateral"):
            run(tmp_path, classifier, f"input={folder}", "classes=[bilatral]")

    def test_a_number_of_neighbours_below_0(self, tmp_path, classifier, folder):
        with pytest.raises(ConfigError, match="neighbours=-1 is below 0"):
            run(tmp_path, classifier, f"input={folder}", "neighbours=-1")

    def test_a_mistyped_argument_of_the_explainer(self, tmp_path, classifier, folder):
        with pytest.raises(ConfigError, match=r"explain\.layr.*did you mean `layer`"):
            run(tmp_path, classifier, f"input={folder}", "explain.layr=conv")
