from __future__ import annotations

import numpy as np

from lungseg.data.augment.none import NoAugmentation


def test_the_sample_is_handed_on_as_it_is():
    image, masks = np.zeros((4, 4), np.uint8), np.zeros((1, 4, 4), np.uint8)
    out = NoAugmentation()(image, masks, seed=0, epoch=0, key=0)
    assert out[0] is image
    assert out[1] is masks
