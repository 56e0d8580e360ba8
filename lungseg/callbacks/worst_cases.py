"""Pictures of the radiographs that a classifier was most wrong about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
from lightning.pytorch import Callback, LightningModule, Trainer

from lungseg.callbacks.per_sample import datamodule_of
from lungseg.callbacks.per_sample_classes import PerSampleClasses
from lungseg.overlay import levels
from lungseg.run_folder import writing
from lungseg.stats.case_loss import case_losses


class WorstCases(Callback):
    """Writes the tested images of the highest loss as the network saw them, after preprocessing.

    They lie in overlays/ as `<part>_worst_<place>.png`, at the size of the network's input, and overlays/index.json
    lists them: file, part, rank, place, sample_id, source, loss.

    Args:
        each: images of each tested part; 0 writes none.
    """

    def __init__(self, *, each: int = 12) -> None:
        self.each = each

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the pictures and their list.

        Raises:
            ResourceError: a file cannot be written.
        """
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        tested = next((callback for callback in callbacks if isinstance(callback, PerSampleClasses)), None)
        if tested is None or tested.frame is None or self.each < 1 or not trainer.is_global_zero:
            return
        data = datamodule_of(trainer)
        places = {sample_id: i for i, sample_id in enumerate(data.table.column("sample_id").to_pylist())}
        folder = Path(trainer.default_root_dir) / "overlays"
        listed: list[dict[str, Any]] = []
        with writing(folder):
            folder.mkdir(exist_ok=True)
        for part, rows in tested.frame.groupby("part", sort=False):
            p, truth = (rows[[start + name for name in tested.classes]].to_numpy(float) for start in ("p_", "t_"))
            worst = rows.assign(loss=case_losses(p, truth, tested.kind)).dropna(subset=["loss"])
            worst = worst.sort_values("loss", ascending=False, kind="stable").head(self.each)
            for place, row in enumerate(worst.to_dict("records"), 1):
                name = f"{part}_worst_{place}.png"
                (image,) = data.store.images([places[row["sample_id"]]])
                with writing(folder / name):
                    (folder / name).write_bytes(cv2.imencode(".png", levels(image))[1].tobytes())
                listed.append(
                    {
                        "file": f"overlays/{name}", "part": part, "rank": "worst", "place": place,
                        "sample_id": row["sample_id"], "source": row["source"], "loss": float(row["loss"]),
                    }
                )  # fmt: skip
        with writing(folder / "index.json"):
            (folder / "index.json").write_text(json.dumps(listed, indent=2) + "\n")
