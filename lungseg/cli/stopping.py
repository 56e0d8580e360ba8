"""What a signal does while no training step runs: the command ends at once, with its folders in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lungseg.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def taking_over(handle: Callable[[int, Callable[[], None]], None]) -> Iterator[None]:
    """Hand Ctrl-C, SIGTERM and SIGUSR1 to a function while the body runs, but for those that are ignored.

    Outside the main thread, to which Python delivers signals, nothing happens.

    Args:
        handle: called with the signal's number and a function that gives the signals back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def give_back() -> None:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # started in the background by a shell, or under nohup
            signal.signal(number, lambda number, frame: handle(number, give_back))
    try:
        yield
    finally:
        give_back()


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and SIGUSR1 into `Stopped` while the body runs.

    Without it SIGTERM would end the process with `status.json` still saying that it runs, and Lightning would pass
    over it while testing. During training the `Preemption` callback takes the signals over. A second signal does what
    it does in any program, so that nothing can hold up who insists.

    Raises:
        Stopped: a signal came.
    """

    def stop(number: int, give_back: Callable[[], None]) -> None:
        give_back()
        raise Stopped(number)

    with taking_over(stop):
        yield


def hand_on(said: str | None) -> None:
    """Hand SIGUSR1 on to whoever listened for it before us, once the run has saved itself.

    That is submitit, which then queues the job again; without it nobody listens, and nothing happens.

    Args:
        said: how the run ended.
    """
    handler = signal.getsignal(signal.SIGUSR1)
    if said and "SIGUSR1" in said and callable(handler):
        handler(signal.SIGUSR1, None)


def go_on(verb: str, folder: Path | None) -> str:
    """Say how to go on after a stop.

    Example:
        >>> go_on("train", Path("outputs/phantom/1"))
        'Go on with: python -m lungseg resume=outputs/phantom/1'
    """
    if verb == "train" and folder is not None:
        return f"Go on with: python -m lungseg resume={folder}"
    if verb == "tune":
        return "Run the same command again: it goes on with the trials"
    return "Run the same command again; radiographs that were prepared are in the store"
