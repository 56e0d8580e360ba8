"""Keeps third-party chatter off the user's terminal, each piece for a reason."""

from __future__ import annotations

import logging
import os
import warnings

_MEANT = (
    # lightning 2.6 with torch 2.15: its own pytree code
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # num_workers=0 is meant: the store serves faster than worker processes hand over
    r"The '.*_dataloader' does not have many workers",
    # our sampler continues by the count of batches done, which lightning cannot know
    r"You're resuming from a checkpoint that ended before the epoch ended",
    # a frozen backbone is meant to be: its batch norms keep their statistics
    r"Found \d+ module\(s\) in eval mode at the start of training",
)


def silence() -> None:
    """Show of Lightning only warnings, of warnings only those a user can act on, and of W&B nothing."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # W&B prints 30 lines of curves at the end; what it holds is in the run folder (docs/howto.md)
    os.environ.setdefault("WANDB_SILENT", "true")
    for message in _MEANT:
        warnings.filterwarnings("ignore", message=message)
