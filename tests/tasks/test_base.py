"""What every task shares: seeded steps, the guard, optimiser and scheduler."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lungseg.errors import ConfigError, DivergedError
from lungseg.models.layerwise import Layerwise
from tests.toy import toy_data, toy_task, toy_trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


class Draws(Callback):
    """Notes the first number torch draws in each step."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        self.drawn.append(torch.rand(()).item())


def fit(folder, store, *callbacks, task=None, epochs=1, **trainer):
    task = task or toy_task()
    run = toy_trainer(folder, *callbacks, epochs=epochs, **trainer)
    run.fit(task, datamodule=toy_data(store, n=8))
    return task, run


class TestSeeding:
    def test_steps_draw_the_same_whatever_was_drawn_before_the_run(self, tmp_path, store):
        first, second = Draws(), Draws()
        fit(tmp_path / "a", store, first)
        torch.rand(1234)
        fit(tmp_path / "b", store, second)
        assert first.drawn == second.drawn

    def test_every_step_draws_anew(self, tmp_path, store):
        draws = Draws()
        fit(tmp_path, store, draws, epochs=3)
        assert len(set(draws.drawn)) == 9  # 6 training samples, 2 a batch, 3 epochs

    def test_another_seed_draws_otherwise(self, tmp_path, store):
        first, second = Draws(), Draws()
        fit(tmp_path / "a", store, first)
        fit(tmp_path / "b", store, second, task=toy_task(seed=1))
        assert not set(first.drawn) & set(second.drawn)


class Spoil(torch.nn.Module):
    """A loss that is not finite from the n-th call on."""

    def __init__(self, at: int, value: float) -> None:
        super().__init__()
        self.at = at
        self.value = value
        self.calls = 0

    def forward(self, logits, mask, valid=None):
        self.calls += 1
        return logits.mean() * (self.value if self.calls >= self.at else 1.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
class TestDiverged:
    def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_samples(self, tmp_path, store, value):
        task = toy_task()
        task.loss = Spoil(2, value)
        with pytest.raises(
            DivergedError, match=r"step 1 \(epoch 1\); the batch holds discs/00\d, discs/00\d\. .*0\.001"
        ):
            fit(tmp_path, store, task=task)

    def test_nothing_is_saved_from_it(self, tmp_path, store, value):
        task = toy_task()
        task.loss = Spoil(2, value)
        with pytest.raises(DivergedError):
            fit(tmp_path, store, task=task)
        assert not list(tmp_path.rglob("*.ckpt"))


class TestGuardOnADevice:
    """On a GPU the flag is kept there and looked at later; the same code on the CPU's tensors."""

    def test_a_flag_that_was_raised_is_found_before_a_checkpoint(self):
        task = toy_task()
        task._all_finite = torch.tensor(True) & torch.tensor(False)
        task._diverged = lambda batch: (_ for _ in ()).throw(DivergedError("found"))  # type: ignore[method-assign]
        with pytest.raises(DivergedError, match="found"):
            task.check_finite()

    def test_a_flag_is_looked_at_once(self):
        task = toy_task()
        task._all_finite = torch.tensor(True)
        task.check_finite()
        assert task._all_finite is None


class TestSchedulers:
    def test_without_a_scheduler_the_learning_rate_stays(self, tmp_path, store):
        _, run = fit(tmp_path, store, epochs=2)
        assert run.optimizers[0].param_groups[0]["lr"] == 0.01

    def test_a_step_scheduler_steps_once_an_epoch(self, tmp_path, store):
        _, run = fit(tmp_path, store, task=toy_task(scheduler=partial(StepLR, step_size=1, gamma=0.1)), epochs=2)
        assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0001)  # 0.01 * 0.1 * 0.1

    def test_a_plateau_scheduler_watches_the_monitor(self, tmp_path, store):
        # nothing is ever less than 0 by 1000, so with no patience every epoch after the first divides by ten
        plateau = partial(ReduceLROnPlateau, patience=0, factor=0.1, threshold=1000, threshold_mode="abs")
        _, run = fit(tmp_path, store, task=toy_task(scheduler=plateau), epochs=3)
        assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0001)

    def test_a_plateau_scheduler_steps_only_when_there_was_a_validation(self, tmp_path, store):
        plateau = partial(ReduceLROnPlateau, patience=0, factor=0.1, threshold=1000, threshold_mode="abs")
        _, run = fit(tmp_path, store, task=toy_task(scheduler=plateau), epochs=4, check_val_every_n_epoch=2)
        assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.001)  # two validations, one step

    def test_a_plateau_scheduler_with_a_mistyped_monitor_suggests_the_near_name(self, tmp_path, store):
        task = toy_task(scheduler=ReduceLROnPlateau, monitor="val/dise")
        with pytest.raises(ConfigError, match=r"monitor=val/dise.*did you mean val/dice"):
            fit(tmp_path, store, task=task)

    def test_a_plateau_scheduler_without_validation_is_refused(self, tmp_path, store):
        task = toy_task(scheduler=ReduceLROnPlateau, monitor="val/dice")
        with pytest.raises(ConfigError, match=r"monitor=val/dice, which was not measured"):
            fit(tmp_path, store, task=task, limit_val_batches=0)


def test_frozen_parameters_are_not_handed_to_the_optimiser(tmp_path, store):
    task = toy_task()
    frozen = next(task.model.parameters())
    frozen.requires_grad = False
    before = frozen.clone()
    fit(tmp_path, store, task=task)
    assert torch.equal(frozen, before)


def test_the_mean_loss_is_weighed_by_the_batches_sizes():
    task = toy_task()
    task.add_loss(torch.tensor(1.0), 3)
    task.add_loss(torch.tensor(5.0), 1)
    assert task.mean_loss() == 2.0  # (3 * 1 + 1 * 5) / 4


def test_the_mean_loss_of_nothing_is_not_a_number():
    assert toy_task().mean_loss() != toy_task().mean_loss()


class TestLayers:
    def test_an_optimiser_by_layer_gets_the_networks_layers(self):
        task = toy_task()
        layers = [list(task.model.parameters())[:2], list(task.model.parameters())[2:]]
        task.model.layers = lambda: layers
        task._optimizer = Layerwise(optimizer=torch.optim.SGD, lr=0.1, decay=0.5)
        groups = task.configure_optimizers().param_groups
        assert [group["lr"] for group in groups] == [0.1, 0.05]
        assert [group["params"] for group in groups] == layers[::-1]

    def test_a_network_that_does_not_tell_its_layers_is_refused_with_what_to_choose(self):
        task = toy_task()
        task._optimizer = Layerwise(optimizer=torch.optim.SGD)
        with pytest.raises(ConfigError, match=r"ResUNet does not tell its layers.*Set optimizer=adam"):
            task.configure_optimizers()

    def test_what_is_frozen_for_good_is_not_optimised_and_what_is_trained_later_is(self):
        task = toy_task()
        first = next(task.model.parameters()).requires_grad_(False)
        kept = task.configure_optimizers().param_groups[0]["params"]
        assert first not in set(kept)
        task.model.unfreeze_at_epoch = 2
        assert first in set(task.configure_optimizers().param_groups[0]["params"])
