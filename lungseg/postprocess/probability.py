"""Probabilities among the arguments of steps."""

from __future__ import annotations

from lungseg.errors import ConfigError


def probability_of(value: float, key: str) -> float:
    """Return a probability of the config.

    Args:
        value: in [0, 1].
        key: where it stands in the config, for the message.

    Raises:
        ConfigError: `value` is outside [0, 1].
    """
    if not 0 <= value <= 1:
        msg = f"{key}={value} is a probability and must be in [0, 1]"
        raise ConfigError(msg)
    return float(value)
