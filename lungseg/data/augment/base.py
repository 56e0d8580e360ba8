"""What an augmentation offers: parameters as a pure function of (seed, epoch, sample), and an applier."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


def sample_key(sample_id: str, repeat: int = 0) -> int:
    """Return 64 bits that stand for a sample, the same on every machine.

    Args:
        sample_id: of the sample.
        repeat: how often it was drawn before in the epoch, where samples are drawn with replacement: each time it is
            changed in another way.

    Example:
        >>> sample_key("jsrt/JPCLN001") == sample_key("jsrt/JPCLN001")
        True
    """
    text = f"{sample_id}\0{repeat}" if repeat else sample_id
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, epoch: int, key: int) -> np.random.Generator:
    """Return the random generator of one sample in one epoch.

    Philox is a counter-based generator (Salmon et al. 2011): its key is (seed, sample) and its counter starts at the
    epoch, so no stream depends on how many workers there are or on what was drawn before.
    """
    words = np.array([seed & 0xFFFFFFFFFFFFFFFF, key & 0xFFFFFFFFFFFFFFFF], np.uint64)
    counter = np.array([0, 0, 0, epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=words, counter=counter))


class Augmentation(Protocol):
    """Random changes of a training sample."""

    def __call__(
        self, image: NDArray[Any], masks: NDArray[np.uint8], *, seed: int, epoch: int, key: int
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Change one sample.

        Args:
            image: (H, W) uint8 or uint16 over its full range.
            masks: (K, H, W) uint8 in {0, 1}.
            seed: the run's seed.
            epoch: counted from 0.
            key: `sample_key` of the sample.

        Returns:
            Image and masks of the same shapes and dtypes.
        """
        ...
