"""The errors lungseg raises on purpose, each with the exit code its family ends a run with."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Sequence


class LungsegError(Exception):
    """Base of every error that is meant for the user.

    The message has three parts: what is wrong with the value seen, where it came from, what to do.
    """

    exit_code = 2


class ConfigError(LungsegError):
    """A key, group or value of the configuration or of the command line is wrong (exit code 2)."""

    exit_code = 2


class DataError(LungsegError):
    """An image, mask, table or folder of the user is missing or broken (exit code 3)."""

    exit_code = 3


class CheckpointError(DataError):
    """A checkpoint is damaged, unsafe, or made for another model (exit code 3)."""


class ResourceError(LungsegError):
    """The machine lacks something: disk space, a right to write, a device, a package (exit code 4)."""

    exit_code = 4


class DivergedError(LungsegError):
    """Training produced a value that is not finite (exit code 5)."""

    exit_code = 5


class PreemptedError(LungsegError):
    """A signal stopped the run after its state was saved; it can be resumed (exit code 75)."""

    exit_code = 75


class Stopped(BaseException):
    """A signal ended a command where there is no state to save (exit code 75, after Ctrl-C 130).

    It is no `Exception`, so that no library takes it for a fault of its own, and no `KeyboardInterrupt`, since
    Lightning turns that into exit code 1.

    Args:
        number: of the signal.

    Example:
        >>> Stopped(15).exit_code, str(Stopped(15))
        (75, 'stopped by SIGTERM')
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 130 if number == signal.SIGINT else 75


def first_five(items: Iterable[object]) -> str:
    """Join the first five items and say how many more there are.

    Example:
        >>> first_five(["a", "b"])
        'a, b'
        >>> first_five(range(7))
        '0, 1, 2, 3, 4 and 2 more'
    """
    texts = [str(item) for item in items]
    more = len(texts) - 5
    return ", ".join(texts[:5]) + (f" and {more} more" if more > 0 else "")


def near_name(name: str, options: Iterable[str]) -> str | None:
    """Return the option most like `name`, or None when none is near.

    Example:
        >>> near_name("dropot", ["dropout", "features"])
        'dropout'
    """
    found: Sequence[str] = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
    return found[0] if found else None
