"""Where tested images lie by their features."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from lungseg.callbacks.feature_map import COLUMNS, FeatureMap
from lungseg.callbacks.threshold_choice import ThresholdChoice
from lungseg.errors import ConfigError
from lungseg.metrics.thresholds import LabelThresholds
from tests.toy_classes import CLASSES, TinyClassifier, class_tester, toy_classes, toy_classification


class Telling(TinyClassifier):
    """A classifier that tells its features, and counts how often it is run."""

    def __init__(self, *, num_classes: int, flat: bool = False) -> None:
        super().__init__(num_classes=num_classes)
        self.flat = flat
        self.runs = 0

    def features(self, image: Tensor) -> Tensor:
        return self.fields(image).flatten(1) * (not self.flat)

    def forward(self, image: Tensor) -> Tensor:
        self.runs += 1
        logits: Tensor = self.head(self.drop(self.features(image)))
        return logits


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def run(
    folder: Path, store: Path, *callbacks: Callback, net: nn.Module | None = None, parts: Any = None, **data: Any
) -> pd.DataFrame | None:
    task = toy_classification()
    task.model = net or Telling(num_classes=2)
    module = toy_classes(store, n=24, val=9, test=6, **data)
    module.test_parts = parts or ("test", "val")
    class_tester(folder, *callbacks).trainer.test(task, datamodule=module, verbose=False)
    path = folder / "embedding.parquet"
    return pd.read_parquet(path) if path.exists() else None


def test_each_image_of_the_test_part_has_its_place(tmp_path: Path, store: Path):
    found = run(tmp_path, store, FeatureMap())
    assert found is not None
    assert list(found.columns) == [*COLUMNS, "x", "y"]
    assert np.isfinite(found[["x", "y"]]).all(axis=None)
    results = pd.read_parquet(tmp_path / "per_sample.parquet")
    tested = results[results["part"] == "test"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found[list(COLUMNS)], tested[list(COLUMNS)])


def test_the_features_are_what_the_last_layer_reads_of_each_image(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[np.ndarray] = []
    monkeypatch.setattr(
        "lungseg.callbacks.feature_map.tsne", lambda features, **_: seen.append(features) or features[:, :2]
    )
    net = Telling(num_classes=2)
    run(tmp_path, store, FeatureMap(), net=net)
    module = toy_classes(store, n=24, val=9, test=6)
    images = module.normalize(torch.from_numpy(module.store.images(module.positions("test"))[:, None]))
    assert np.allclose(seen[0], net.features(images).numpy())


def test_no_image_is_run_twice_and_the_results_stay_the_same(tmp_path: Path, store: Path):
    nets = [Telling(num_classes=2) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    run(tmp_path / "with", store, FeatureMap(), net=nets[0])
    run(tmp_path / "without", store, net=nets[1])
    assert nets[0].runs == nets[1].runs == 5  # 15 images, three at a time
    one, other = (pd.read_parquet(tmp_path / name / "per_sample.parquet") for name in ("with", "without"))
    pd.testing.assert_frame_equal(one, other)
    assert not nets[0].head._forward_pre_hooks


def test_of_many_images_the_same_ones_are_drawn(tmp_path: Path, store: Path):
    one, again = (run(tmp_path / name, store, FeatureMap(most=4)) for name in "ab")
    assert one is not None
    assert again is not None
    assert len(one) == 4
    pd.testing.assert_frame_equal(one, again)


def test_without_a_test_part_the_first_one_is_laid_out(tmp_path: Path, store: Path):
    found = run(tmp_path, store, FeatureMap(), parts=("val", "train"))
    assert found is not None
    assert found["part"].unique().tolist() == ["val"]


@pytest.mark.parametrize(
    ("net", "said"),
    [(TinyClassifier(num_classes=2), ""), (Telling(num_classes=2, flat=True), "the same for all 6 images")],
    ids=["does not tell its features", "same features"],
)
def test_what_cannot_be_laid_out_is_left_out(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture, net: nn.Module, said: str
):
    with caplog.at_level(logging.INFO, logger="lungseg"):
        assert run(tmp_path, store, FeatureMap(), net=net) is None
    assert said in caplog.text
    assert (tmp_path / "metrics.json").exists()


def test_few_images_are_left_out(tmp_path: Path, store: Path):
    task = toy_classification()
    task.model = Telling(num_classes=2)
    module = toy_classes(store, n=12, val=4, test=3)
    class_tester(tmp_path, FeatureMap()).trainer.test(task, datamodule=module, verbose=False)
    assert not (tmp_path / "embedding.parquet").exists()


def test_the_choice_of_thresholds_is_no_test(tmp_path: Path, store: Path):
    tester = class_tester(tmp_path, FeatureMap(), kind="multilabel", results=False)
    task = toy_classification("multilabel")
    task.model = Telling(num_classes=len(CLASSES["multilabel"]))
    tester.trainer.datamodule = toy_classes(store, "multilabel", n=24, val=9)  # type: ignore[attr-defined]
    ThresholdChoice(chooser=LabelThresholds()).choose(tester.trainer, task)
    assert not (tmp_path / "embedding.parquet").exists()


@pytest.mark.parametrize("settings", [{"most": 3}, {"perplexity": 0.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"callbacks\.feature_map=null leaves the map out"):
        FeatureMap(**settings)
