import cv2
import numpy as np
import pytest

from lungseg.data.phantom.generator import Phantom
from lungseg.data.phantom.layout_writer import Item, Writer, mask_png, write_png


@pytest.fixture
def item():
    sample = Phantom(0, (32, 40), bits=12).sample(0)
    return Item(
        number=3,
        index=0,
        pixels=sample.pixels.astype(np.uint16),
        masks=sample.masks,
        facts=sample.facts,
        has_mask=False,
    )


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_twelve_bits_become_eight_unless_asked_for(tmp_path, item):
    Writer(tmp_path, ()).image(tmp_path / "a.png", item)
    assert np.array_equal(read(tmp_path / "a.png"), np.round(item.pixels / 4095 * 255))
    Writer(tmp_path, ("twelve_bit", "inverted")).image(tmp_path / "b.png", item)
    assert np.array_equal(read(tmp_path / "b.png"), 4095 - item.pixels)


def test_a_name_in_jpeg_makes_a_jpeg_of_eight_bits(tmp_path, item):
    Writer(tmp_path, ("twelve_bit",)).image(tmp_path / "a.jpeg", item)
    assert (tmp_path / "a.jpeg").read_bytes()[:3] == b"\xff\xd8\xff"
    pixels = read(tmp_path / "a.jpeg")
    assert (pixels.dtype, pixels.shape) == (np.uint8, (32, 40))
    assert np.abs(pixels - item.pixels / 4095 * 255).mean() < 2


def test_a_transparent_file_has_four_channels_of_one_picture(tmp_path, item):
    Writer(tmp_path, ()).image(tmp_path / "a.png", item, transparent=True)
    pixels = read(tmp_path / "a.png")
    assert pixels.shape == (32, 40, 4)
    assert (pixels[:, :, :3] == pixels[:, :, :1]).all()
    assert (pixels[:, :, 3] == 255).all()


def test_the_account_names_samples_and_radiographs_without_a_mask(tmp_path, item):
    writer = Writer(tmp_path, ())
    writer.image(tmp_path / "x" / "a.png", item)
    assert not writer.wants_mask("a", item)
    assert (writer.samples, writer.bare) == ({"a": 0}, ["a"])


def test_lungs_are_the_union_and_a_mask_is_0_and_255(tmp_path, item):
    mask_png(tmp_path / "m" / "a.png", item.lungs)
    mask = read(tmp_path / "m" / "a.png")
    assert np.array_equal(mask > 0, item.masks["right_lung"] | item.masks["left_lung"])
    assert set(np.unique(mask)) == {0, 255}


def test_sixteen_bits_are_kept(tmp_path):
    write_png(tmp_path / "a.png", np.full((8, 8), 4000, np.uint16))
    assert read(tmp_path / "a.png").max() == 4000
