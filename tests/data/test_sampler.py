from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from lungseg.data.sampler import EpochSampler


def sampler(n: int = 10, *, batches_done: int = 0, **options) -> EpochSampler:
    options = {"batch_size": 3, "seed": 0, "shuffle": True, **options}
    return EpochSampler(np.arange(100, 100 + n), batches_done=lambda: batches_done, **options)


def order(of: EpochSampler) -> list[int]:
    return [int(position) for batch in of for position in batch.positions]


def epoch(number: int, **options) -> list[int]:
    """10 samples in batches of 3 make 4 batches an epoch."""
    return order(sampler(batches_done=4 * number, **options))


@pytest.mark.parametrize("number", [0, 1, 7])
def test_every_epoch_holds_each_position_once(number):
    assert sorted(epoch(number)) == list(range(100, 110))


def test_the_order_is_the_same_each_time_it_is_asked_for():
    assert epoch(3) == epoch(3)


def test_epochs_differ():
    assert len({tuple(epoch(number)) for number in range(20)}) == 20


def test_seeds_differ_and_0_is_one_of_them():
    assert len({tuple(epoch(0, seed=seed)) for seed in range(20)}) == 20


def test_a_negative_seed_is_a_seed():
    assert sorted(epoch(0, seed=-1)) == list(range(100, 110))


def test_evaluation_goes_in_table_order_whatever_was_trained():
    assert order(sampler(shuffle=False, batches_done=6)) == list(range(100, 110))


def test_the_last_batch_is_the_rest():
    assert [len(batch.positions) for batch in sampler()] == [3, 3, 3, 1]


@pytest.mark.parametrize("done", range(8))
def test_it_goes_on_from_any_batch(done):
    whole = epoch(0) + epoch(1)
    rest = order(sampler(batches_done=done))
    # batch b of an epoch begins at sample 3 b; epoch 1 begins at sample 10
    start = 10 * (done // 4) + 3 * (done % 4)
    assert rest == whole[start : 10 * (done // 4) + 10]


def test_a_batch_carries_its_epoch():
    assert {batch.epoch for batch in sampler(batches_done=9)} == {2}  # 9 of 4 an epoch: the third epoch


@pytest.mark.parametrize(("limit", "batches"), [(2, 2), (9, 4), (0.5, 2), (0.01, 1), (1.0, 4)])
def test_a_limit_shortens_the_epoch_but_not_the_length(limit, batches):
    limited = sampler(limit=limit)
    assert len(list(limited)) == batches
    assert len(limited) == 4


def test_limited_epochs_are_counted_by_their_own_length():
    # 5 batches done of 2 an epoch: batch 1 of epoch 2
    (batch,) = list(sampler(limit=2, batches_done=5))
    assert batch.epoch == 2
    assert batch.positions.tolist() == epoch(2)[3:6]


def test_repeated_epochs_have_the_batches_of_the_first():
    first, third = (order(sampler(limit=2, repeat=True, batches_done=done)) for done in (0, 4))
    assert first == third == epoch(0)[:6]


def test_repeated_epochs_are_still_counted_for_augmentation():
    assert next(iter(sampler(limit=2, repeat=True, batches_done=4))).epoch == 2


@pytest.mark.parametrize("world", [2, 3])
def test_the_pieces_of_all_processes_cover_an_epoch_once(world):
    pieces = [sampler(n=24, batch_size=2, rank=rank, world_size=world) for rank in range(world)]
    assert len({len(list(piece)) for piece in pieces}) == 1
    assert sorted(position for piece in pieces for position in order(piece)) == list(range(100, 124))


def test_two_processes_of_two_see_in_a_step_what_one_process_of_four_sees():
    one = next(iter(sampler(n=24, batch_size=4))).positions
    both = [next(iter(sampler(n=24, batch_size=2, rank=rank, world_size=2))).positions for rank in (0, 1)]
    assert np.concatenate(both).tolist() == one.tolist()


def test_positions_stay_in_one_array():
    large = sampler(n=1_000_000, batch_size=4)
    (batch,) = islice(large, 1)
    assert isinstance(batch.positions, np.ndarray)
    assert batch.positions.base is not None  # a view of the epoch's order, 8 bytes a sample


def test_no_positions_make_no_batch():
    assert list(sampler(n=0)) == []
    assert len(sampler(n=0)) == 0


class TestWeights:
    """Samples drawn with replacement, by their weights."""

    def weighted(self, weights, **settings):
        return sampler(n=len(weights), batch_size=4, weights=np.asarray(weights, float), **settings)

    def test_an_epoch_has_as_many_samples_as_there_are_each_as_often_as_its_weight_says(self):
        weights = np.repeat([1.0, 3.0], 2000)  # of 4,000 draws the first half gets a quarter
        found = np.array(order(self.weighted(weights)))
        assert len(found) == 4000
        # four standard deviations: 4 sqrt(0.25 * 0.75 / 4000) = 0.027
        assert (found < 100 + 2000).mean() == pytest.approx(0.25, abs=0.027)

    def test_a_weight_of_zero_is_never_drawn(self):
        assert set(order(self.weighted([0.0, 1.0, 0.0, 2.0] * 5))) <= {100 + i for i in range(20) if i % 2}

    def test_the_draw_is_that_of_the_epoch_whatever_came_before(self):
        whole = order(self.weighted([1.0, 2.0] * 6))
        assert order(self.weighted([1.0, 2.0] * 6, batches_done=1)) == whole[4:]
        assert order(self.weighted([1.0, 2.0] * 6, batches_done=3)) != whole

    @pytest.mark.parametrize("world", [1, 2])
    def test_a_sample_drawn_again_says_how_often_it_was(self, world):
        pieces = [list(self.weighted([1.0, 5.0, 1.0], rank=rank, world_size=world)) for rank in range(world)]
        batches = [batch for step in zip(*pieces, strict=True) for batch in step]
        seen: dict[int, int] = {}
        for batch in batches:
            for position, repeat in zip(batch.positions.tolist(), batch.repeats.tolist(), strict=True):
                assert repeat == seen.get(position, 0)
                seen[position] = repeat + 1
        assert max(seen.values()) > 1

    @pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, np.inf, 1.0]],
                             ids=["too few", "negative", "nothing", "infinite"])  # fmt: skip
    def test_weights_that_are_none_are_refused(self, weights):
        with pytest.raises(ValueError, match="weights of 3 samples"):
            sampler(n=3, weights=np.asarray(weights))
