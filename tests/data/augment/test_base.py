from __future__ import annotations

from lungseg.data.augment.base import generator, sample_key


def test_a_sample_s_key_is_64_bits_and_the_same_on_every_machine():
    # BLAKE2b with an 8-byte digest, read little-endian; another value would change every run's augmentation
    assert sample_key("jsrt/JPCLN001") == 6235746625708629987


def test_streams_differ_by_seed_epoch_and_sample():
    cases = [(seed, epoch, key) for seed in (0, 1, -1) for epoch in range(3) for key in (0, 5, 2**64 - 1)]
    assert len({tuple(generator(*case).random(4)) for case in cases}) == 27


def test_streams_of_neighbouring_epochs_do_not_run_into_each_other():
    first = set(generator(0, 0, 1).random(1000))
    assert not first & set(generator(0, 1, 1).random(1000))


def test_a_stream_depends_on_nothing_that_was_drawn_before():
    generator(3, 1, 4).random(100)
    assert generator(3, 1, 5).random() == generator(3, 1, 5).random()
