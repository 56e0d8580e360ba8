"""Train a frozen backbone from an epoch on."""

from __future__ import annotations

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lungseg.errors import ConfigError

log = logging.getLogger(__name__)


class Unfreeze(Callback):
    """Freezes the backbone of a network in the epochs before its `unfreeze_at_epoch`, and trains it from then on.

    Whether it is frozen follows from the epoch alone, so there is nothing to be kept in a checkpoint; and since the
    optimiser holds the backbone's parameters from the start (a task sees to that), without a state while they are
    frozen, a resumed run goes on as one that was not cut off. Networks without `unfreeze_at_epoch`, or with null, are
    left alone.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze or train as the epoch says in which a run begins or goes on.

        Raises:
            ConfigError: several processes train: DistributedDataParallel leaves out for good what is frozen when it
                begins, and the processes would drift apart.
        """
        model = _unfreezing(pl_module)
        if model is None:
            return
        at = int(model.unfreeze_at_epoch)
        if trainer.world_size > 1:
            msg = (
                f"model.unfreeze_at_epoch={at} works in one process, and there are {trainer.world_size}. Set "
                "trainer.devices=1; or train twice: with model.freeze=backbone, then with model.weights=<its best.ckpt>"
            )
            raise ConfigError(msg)
        if trainer.max_epochs is not None and 0 <= trainer.max_epochs < at:
            log.warning(
                "model.unfreeze_at_epoch=%d comes after trainer.max_epochs=%d: the backbone is never trained",
                at,
                trainer.max_epochs,
            )
        self._follow(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze or train as the epoch says."""
        self._follow(trainer, pl_module)

    def _follow(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = _unfreezing(pl_module)
        if model is None:
            return
        epoch = trainer.current_epoch + 1
        frozen = epoch < model.unfreeze_at_epoch
        if frozen != model.frozen:
            model.set_frozen(frozen)
            words = "frozen until" if frozen else "trained, as from"
            log.info("epoch %d: the backbone is %s epoch %d", epoch, words, model.unfreeze_at_epoch)


def _unfreezing(pl_module: LightningModule) -> Any:
    """Return the network of a task if its backbone is to be trained from some epoch on, else None."""
    model: Any = getattr(pl_module, "model", None)
    return model if getattr(model, "unfreeze_at_epoch", None) is not None else None
