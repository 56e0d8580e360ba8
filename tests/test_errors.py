from __future__ import annotations

import signal

import pytest

from lungseg.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    LungsegError,
    PreemptedError,
    ResourceError,
    Stopped,
    first_five,
    near_name,
)


@pytest.mark.parametrize(
    ("family", "code"),
    [
        (ConfigError, 2),
        (DataError, 3),
        (CheckpointError, 3),
        (ResourceError, 4),
        (DivergedError, 5),
        (PreemptedError, 75),  # EX_TEMPFAIL of sysexits.h: try again
    ],
)
def test_every_family_ends_a_run_with_its_own_code(family: type[LungsegError], code: int) -> None:
    assert family("x").exit_code == code


def test_what_is_wrong_with_a_checkpoint_is_wrong_with_data() -> None:
    with pytest.raises(DataError):
        raise CheckpointError


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)],  # 130 = 128 + 2, as a shell has it
)
def test_a_signal_has_the_code_of_its_kind(number: signal.Signals, code: int) -> None:
    assert Stopped(number).exit_code == code


@pytest.mark.parametrize("family", [Exception, KeyboardInterrupt])
def test_a_stop_is_caught_by_no_clause_of_a_library(family: type[BaseException]) -> None:
    assert not issubclass(Stopped, family)


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, ""), (1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4 and 1 more")],
)
def test_five_items_are_named_and_the_rest_counted(n: int, text: str) -> None:
    assert first_five(i for i in range(n)) == text


def test_the_nearest_of_several_near_names_is_given() -> None:
    # twice the letters in common over all letters: 2 * 7 / (8 + 8) = 0.88 and 2 * 7 / (8 + 7) = 0.93
    assert near_name("val_loss", ["val_less", "val_los"]) == "val_los"


def test_a_name_unlike_all_has_no_near_one() -> None:
    assert near_name("zebra", ["dropout", "features"]) is None


def test_options_may_come_from_a_mapping_or_a_generator() -> None:
    assert near_name("featurs", {"features": 1}) == "features"
    assert near_name("featurs", (name for name in ("features",))) == "features"
