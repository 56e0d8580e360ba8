"""Signals outside training."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from lungseg.cli.stopping import SIGNALS, hand_on, stoppable
from lungseg.errors import Stopped


def signalled(number):
    """A library that takes every error for one of its own."""
    try:
        os.kill(os.getpid(), number)
    except Exception:
        pytest.fail("the signal was taken for an error")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)])
def test_a_signal_stops_the_body_and_no_except_clause_holds_it_up(number, code):
    before = {each: signal.getsignal(each) for each in SIGNALS}
    with pytest.raises(Stopped, match=f"stopped by {number.name}") as stop, stoppable():
        signalled(number)
    assert stop.value.exit_code == code
    assert {each: signal.getsignal(each) for each in SIGNALS} == before


def test_a_signal_that_is_ignored_on_purpose_stays_ignored():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_thread_than_the_main_one_runs_the_body_as_it_is():
    found = []

    def body():
        with stoppable():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


def test_the_signal_of_a_cluster_is_handed_on_to_whoever_listened_for_it_before():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        hand_on("PreemptedError: stopped by SIGTERM at step 3")
        hand_on(None)
        assert heard == []
        hand_on("PreemptedError: stopped by SIGUSR1 at step 3")
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_where_nobody_listened_nothing_happens(handler):
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        hand_on("PreemptedError: stopped by SIGUSR1 at step 3")
    finally:
        signal.signal(signal.SIGUSR1, before)
