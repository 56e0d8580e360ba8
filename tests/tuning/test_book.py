"""The book hands every trial to one driver, and outlives them all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs Optuna: pip install 'lungseg[sweep]'")


from lungseg.errors import ConfigError
from lungseg.lock import FolderLock
from lungseg.tuning.book import best_numbers, driver_name, importance, open_storage
from lungseg.tuning.journal_lock import mend
from lungseg.tuning.results import Reached
from tests.tuning.bench import book_of, plan_of, search_of


def test_every_number_is_handed_out_once(tmp_path: Path) -> None:
    book = book_of(tmp_path, plan_of(search_of(trials=3)), driver="me")
    taken = [book.take() for _ in range(4)]
    assert [attempt.number for attempt in taken if attempt] == [0, 1, 2]
    assert taken[3] is None


def test_an_attempt_that_was_killed_before_it_had_a_number_is_closed(tmp_path: Path) -> None:
    book = book_of(tmp_path, plan_of(search_of(trials=1)), driver="me")
    book.study.ask()
    attempt = book.take()
    assert attempt is not None
    assert attempt.number == 0
    assert [trial.state.name for trial in book.study.trials] == ["FAIL", "RUNNING"]


def test_one_that_was_written_down_and_not_taken_is_taken_first(tmp_path: Path) -> None:
    plan = plan_of(search_of(trials=3))
    first = book_of(tmp_path, plan, driver="gone")
    attempt = first.take()
    assert attempt is not None
    first.fail(attempt, 1, "broken", 1.0)
    first._ask_again(0, first.latest()[0])
    second = book_of(tmp_path, plan, driver="me").take()
    assert second is not None
    assert (second.number, second.values) == (0, attempt.values)


def test_the_trials_of_a_driver_at_work_are_left_to_it(tmp_path: Path) -> None:
    plan = plan_of(search_of(trials=2))
    other = book_of(tmp_path, plan, driver="other")
    one, two = other.take(), other.take()
    assert one is not None
    assert two is not None
    other.fail(two, 1, "broken", 1.0)
    place = tmp_path / "drivers" / "other"
    place.mkdir()
    child = os.fork()
    if not child:  # a lock of this very process would be given away by asking for it
        with FolderLock(place):
            os.kill(os.getpid(), 19)
    os.waitpid(child, os.WUNTRACED)
    try:
        mine = book_of(tmp_path, plan, driver="me")
        assert mine.others() == 1
        assert mine.take() is None
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert mine.others() == 0
    taken = [attempt for attempt in (mine.take(), mine.take()) if attempt]
    assert [(attempt.number, attempt.taken_over, attempt.values) for attempt in taken] == [
        (0, True, one.values), (1, False, two.values),
    ]  # fmt: skip


def test_seconds_of_all_sittings_add_up(tmp_path: Path) -> None:
    plan = plan_of(search_of(trials=1))
    first = book_of(tmp_path, plan, driver="gone")
    attempt = first.take()
    assert attempt is not None
    first.leave(attempt, 2.0)
    second = book_of(tmp_path, plan, driver="me")
    again = second.take()
    assert again is not None
    second.complete(again, Reached((0.5,), 1, 2), 3.0)
    assert second.latest()[0].user_attrs["ended"] == {"epoch": 1, "epochs": 2, "exit_code": 0, "seconds": 5.0}


def test_half_a_line_at_the_end_of_a_journal_is_cut_off(tmp_path: Path) -> None:
    plan = plan_of(search_of(trials=2))
    book_of(tmp_path, plan).take()
    journal = tmp_path / "study.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    mend(journal)
    assert journal.read_bytes() == whole
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    attempt = book_of(tmp_path, plan, driver="me").take()
    assert attempt is not None
    assert attempt.number == 0


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("sqlit", "storage=sqlit is neither sqlite nor journal nor a URL"),
        ("nothing://user:secret@host/base", r"storage=host/base cannot be opened"),
        ("sqlite:////no/such/folder/a.db", "storage=sqlite:////no/such/folder/a.db cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path, storage: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        open_storage(storage, tmp_path)
    assert "secret" not in str(caught.value)


def test_driver_names_differ() -> None:
    assert driver_name() != driver_name()


def test_importance_finds_the_key_that_matters_and_needs_six_trials(tmp_path: Path) -> None:
    plan = plan_of(search_of(trials=12, space={"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}))
    book = book_of(tmp_path, plan, driver="me")
    for done in range(12):
        assert importance(book.study, 1) == [] if done < 6 else True
        attempt = book.take()
        assert attempt is not None
        book.complete(attempt, Reached((float(attempt.values["x"]),), 1, 1), 1.0)
    shares = importance(book.study, 1)[0]
    assert shares["x"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)


def test_the_best_is_the_first_of_equals(tmp_path: Path) -> None:
    plan = plan_of(search_of(trials=3))
    book = book_of(tmp_path, plan, driver="me")
    for value in (0.5, 0.8, 0.8):
        attempt = book.take()
        assert attempt is not None
        book.complete(attempt, Reached((value,), 1, 1), 1.0)
    assert best_numbers(book.latest(), plan.search) == [1]
