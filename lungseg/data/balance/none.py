"""No balancing."""

from __future__ import annotations

from lungseg.data.balance.base import Balance


class NoBalance(Balance):
    """Trains on the training part as the split gives it, every sample once an epoch."""
