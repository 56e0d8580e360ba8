"""Ctrl-C, SIGTERM and SIGUSR1: save, say how to go on, and stop."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lungseg import distributed
from lungseg.callbacks.checkpoints import Checkpoints
from lungseg.errors import PreemptedError

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Preemption(Callback):
    """Stops the run at the next step after a signal, with its state saved (exit code 75).

    The handler only sets a flag: saving inside a signal handler can meet a half-done step and hang. A second signal
    ends the run at once; the last written checkpoint stays. Of several processes any one may get the signal: they ask
    one another every few steps and between epochs, and stop at the same step.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals; later than Lightning, which sets its own at the start of fit."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop; at an epoch's last batch wait for its validation."""
        if trainer.is_last_batch or (distributed.processes() > 1 and (batch_idx + 1) % distributed.AGREE_EVERY):
            return
        if self._agreed():
            self._stop(trainer, between_epochs=False)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save and stop between two epochs."""
        if self._agreed():
            self._stop(trainer, between_epochs=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training is over: stop before the test if a signal came in its last epoch; give the signals back."""
        if self._agreed():
            self._stop(trainer, between_epochs=True)
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def _agreed(self) -> bool:
        """Tell whether a signal has come, to this process or to another one."""
        return distributed.any_says(self.received is not None)

    def _note(self, number: int, frame: object) -> None:
        name = signal.Signals(number).name
        if self.received is not None:
            msg = f"stopped at once by a second {name}; the last checkpoint written stays"
            raise PreemptedError(msg)
        self.received = number
        log.warning("%s received: the run is saved and stopped after this step", name)

    def _stop(self, trainer: Trainer, *, between_epochs: bool) -> None:
        name = signal.Signals(self.received or signal.SIGTERM).name
        saved = [callback for callback in trainer.callbacks if isinstance(callback, Checkpoints)]  # type: ignore[attr-defined]
        where = None
        if saved:
            where = saved[0].save_between_epochs(trainer) if between_epochs else saved[0].save_last(trainer)
        msg = (
            f"stopped by {name} at step {trainer.global_step}"
            + (f"; the state is in {where}" if where else "; callbacks.checkpoints is off, so nothing was saved")
            + f". Go on with: python -m lungseg resume={trainer.default_root_dir}"
        )
        raise PreemptedError(msg)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
