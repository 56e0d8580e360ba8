"""Several processes for a test, forked from a server that has the heavy imports done."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any


def together(function: Callable[..., Any], world: int, folder: Path, *args: Any) -> list[Any]:
    """Run `function(*args)` in `world` processes that have met (gloo), and return what each gives.

    Args:
        function: of a module that can be imported.
        world: processes.
        folder: to pass results through.
        args: for the function.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning.pytorch", "tests.toy"])
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    started = [context.Process(target=_run, args=(function, rank, world, port, folder, args)) for rank in range(world)]
    for process in started:
        process.start()
    for process in started:
        process.join(100)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert codes == [0] * world
    return [pickle.loads((folder / f"{world}-{rank}.pickle").read_bytes()) for rank in range(world)]


def _run(function: Any, rank: int, world: int, port: int, folder: Path, args: Any) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    os.environ |= {
        "LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }  # fmt: skip
    if world > 1:
        distributed.init_process_group("gloo", rank=rank, world_size=world)
    found = function(*args)
    (folder / f"{world}-{rank}.pickle").write_bytes(pickle.dumps(found))
    if world > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def exchange() -> dict[str, Any]:
    """Use all of `lungseg.distributed` once."""
    import torch

    from lungseg import distributed

    rank = int(os.environ["LOCAL_RANK"])
    rows = torch.arange(2 * rank, dtype=torch.float64).reshape(rank, 2) + 10 * rank
    return {
        "processes": distributed.processes(),
        "first": distributed.is_first(),
        "gathered": distributed.gather({"rank": rank}),
        "joined": distributed.join(rows).tolist(),
        "empty": tuple(distributed.join(torch.zeros(0, 3, dtype=torch.int64)).shape),
        "none": distributed.any_says(False),
        "last": distributed.any_says(rank == distributed.processes() - 1),
    }


def trained(store: Path, folder: Path, n: int, val: int, wide: int, epochs: int = 2) -> dict[str, Any]:
    """Train and test the toy segmentation in float64 without batch norm, `wide` images a step in all processes.

    Returns:
        The values of each epoch, the weights, the counters of last.ckpt and the table of results (first process).
    """
    import torch

    from lungseg import distributed
    from tests.toy import toy_data, toy_tester, toy_trainer

    world = distributed.processes()
    assert wide % world == 0
    data = toy_data(store, n=n, val=val, batch_size=wide // world)
    task = plain_task()
    keeps = _values()
    trainer = toy_trainer(folder, keeps, epochs=epochs, precision="64-true", devices=world, strategy=_strategy(world))
    trainer.fit(task, datamodule=data)
    run, tester = toy_tester(folder, devices=world, strategy=_strategy(world), precision="64-true")
    run.test(task, datamodule=data, verbose=False)
    weights = {name: value.clone() for name, value in task.model.state_dict().items()}
    running = {}
    if epochs:
        running = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["running"]
    return {"epochs": keeps.epochs, "weights": weights, "frame": tester.frame, "running": running}


def trained_classes(store: Path, folder: Path, n: int, val: int, wide: int) -> dict[str, Any]:
    """Train and test the toy labels in float64, `wide` images a step in all processes."""
    from lightning.pytorch import Trainer
    from torch import nn

    from lungseg import distributed
    from lungseg.callbacks.per_sample_classes import PerSampleClasses
    from lungseg.callbacks.threshold_choice import ThresholdChoice
    from lungseg.losses.bce_multilabel import BCEMultilabelLoss
    from lungseg.metrics.classification_summary import summarise_classes
    from lungseg.metrics.thresholds import LabelThresholds
    from tests.toy import toy_trainer
    from tests.toy_classes import CLASSES, toy_classes, toy_classification

    world = distributed.processes()
    data = toy_classes(store, "multilabel", n=n, val=val, batch_size=wide // world)
    task = toy_classification("multilabel")
    task.loss = BCEMultilabelLoss()  # a mean over images
    task.model.drop = nn.Identity()
    keeps = _values()
    trainer = toy_trainer(folder, keeps, epochs=2, precision="64-true", devices=world, strategy=_strategy(world))
    trainer.fit(task, datamodule=data)
    tester = PerSampleClasses(
        kind="multilabel", classes=CLASSES["multilabel"], summarise=summarise_classes, n_boot=20, facts={}
    )
    run = Trainer(
        default_root_dir=str(folder), accelerator="cpu", devices=world, strategy=_strategy(world), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, precision="64-true",
        use_distributed_sampler=False, callbacks=[],
    )  # fmt: skip
    run.datamodule = data  # type: ignore[attr-defined]
    thresholds = ThresholdChoice(chooser=LabelThresholds()).choose(run, task)
    run.callbacks.insert(0, tester)  # type: ignore[attr-defined]
    run.test(task, datamodule=data, verbose=False)
    return {"epochs": keeps.epochs, "frame": tester.frame, "thresholds": thresholds}


def chosen(store: Path, folder: Path, n: int, val: int) -> Any:
    """Choose the postprocessing of the toy segmentation's first weights."""
    from lungseg import distributed
    from lungseg.callbacks.postprocess_choice import PostprocessChoice
    from lungseg.postprocess.chain import Postprocess
    from lungseg.postprocess.fill_holes import FillHoles
    from lungseg.postprocess.threshold import Threshold
    from tests.toy import toy_data, toy_tester

    world = distributed.processes()
    data = toy_data(store, n=n, val=val, batch_size=2)
    chain = Postprocess({"threshold": Threshold(), "holes": FillHoles()})
    run, _ = toy_tester(folder, devices=world, strategy=_strategy(world))
    run.callbacks.clear()  # type: ignore[attr-defined]
    run.datamodule = data  # type: ignore[attr-defined]
    return PostprocessChoice(postprocess=chain, search=["threshold", "holes"]).choose(run, plain_task())


def plain_task() -> Any:
    """A segmentation whose loss is a mean over images and whose net sees one image at a time."""
    from functools import partial

    import torch
    from torch import nn

    from lungseg.losses.bce_dice import BCEDiceLoss
    from lungseg.tasks.segmentation import SegmentationTask

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1)
    )  # fmt: skip
    return SegmentationTask(
        model=net, loss=BCEDiceLoss(), optimizer=partial(torch.optim.Adam, lr=0.01), structures=["lungs"]
    )


def _strategy(world: int) -> str:
    return "ddp" if world > 1 else "auto"


def _values() -> Any:
    """A callback that keeps the values of every epoch."""
    from lightning.pytorch import Callback

    class Values(Callback):
        def __init__(self) -> None:
            self.epochs: list[dict[str, float]] = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.epochs.append(dict(pl_module.epoch_values))

    return Values()
