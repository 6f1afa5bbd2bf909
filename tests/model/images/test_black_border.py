"""Black borders: what they surround is found, and dark parts of a film are not taken for one."""

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.images.black_border import WHOLE, Box, inside


def framed(size: tuple[int, int], box: tuple[int, int, int, int], border: int = 0, content: int = 130) -> Image.Image:
    picture = Image.new("L", size, border)
    picture.paste(content, box)
    return picture


@pytest.mark.parametrize("box", [(30, 10, 180, 90), (0, 20, 200, 100), (50, 0, 200, 100), (0, 0, 120, 61)])
@pytest.mark.parametrize("border", [0, 6])
def test_the_box_inside_is_found(box: tuple[int, int, int, int], border: int) -> None:
    assert inside(framed((200, 100), box, border)).within(200, 100) == box


def test_noise_and_a_few_bright_pixels_belong_to_the_border() -> None:
    values = np.asarray(framed((200, 100), (60, 0, 200, 100))).copy()
    values[:, :60] += np.random.default_rng(1).integers(0, 9, (100, 60), dtype=np.uint8)
    values[40, 5:50] = 250
    assert inside(Image.fromarray(values)).within(200, 100) == (60, 0, 200, 100)


def test_a_mark_in_the_border_is_kept() -> None:
    picture = framed((200, 100), (60, 0, 200, 100))
    picture.paste(255, (20, 10, 30, 25))
    assert inside(picture).within(200, 100) == (20, 0, 200, 100)


@pytest.mark.parametrize(
    "picture",
    [
        phantom.draw(3, 192),
        Image.new("L", (90, 70)),
        Image.new("L", (90, 70), 255),
        framed((200, 100), (0, 0, 200, 100), content=14),
        framed((200, 100), (90, 0, 110, 100)),
        framed((200, 100), (0, 49, 200, 51)),
        framed((200, 100), (60, 0, 200, 100), border=14),
    ],
)
def test_no_border_is_the_whole_picture(picture: Image.Image) -> None:
    assert inside(picture) == WHOLE


def test_a_black_area_in_the_middle_is_no_border() -> None:
    picture = framed((200, 100), (0, 0, 200, 100))
    picture.paste(0, (80, 0, 120, 100))
    assert inside(picture) == WHOLE


def test_a_large_picture_is_measured_to_within_a_thousandth() -> None:
    box = inside(framed((4000, 3000), (403, 301, 3590, 2702)))
    assert box == pytest.approx((403 / 4000, 301 / 3000, 3590 / 4000, 2702 / 3000), abs=0.002)


def test_a_part_of_a_narrow_picture_has_a_pixel_at_least() -> None:
    assert Box(0.2, 0.2, 0.3, 0.3).within(1, 2) == (0, 0, 1, 1)
