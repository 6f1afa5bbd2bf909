"""The legend below a heat map: readable at each size, and showing the colours of the map."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from model.serving import legend
from model.serving.explain import mixed
from model.serving.legend import LEAST_WIDTH, with_legend

TEXT = "Logits lost when a part is covered, minus the mean of 200 films"


def below(picture: Image.Image, full: float = 3.0, text: str = TEXT) -> Image.Image:
    """The legend of a picture."""
    page = with_legend(picture, mixed, full, text)
    return page.crop((0, picture.height, page.width, page.height))


def drawn(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, (90, 90, 90))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[float, float, float, float], str]]:
    """What is written where, as boxes of the page."""
    texts = []
    write = ImageDraw.ImageDraw.text

    def spy(pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, fill: object, font: object, anchor: str):
        texts.append((pen.textbbox(at, text, font, anchor), text))
        write(pen, at, text, fill, font, anchor)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return texts


@pytest.mark.parametrize("size", [(512, 512), (1024, 838), (512, 90), (64, 640), (320, 512)])
def test_all_words_lie_within_the_page_and_apart(size: tuple[int, int], written: list) -> None:
    page = with_legend(drawn(size), mixed, 3.0, TEXT)
    assert page.width == max(size[0], LEAST_WIDTH)
    labels = ["-3 or less", "-1.5", "0 logits", "+1.5", "+3 or more"]
    assert [text for _, text in written[:5]] == labels
    assert " ".join(text for _, text in written[5:]) == TEXT
    for (left, top, right, bottom), text in written:
        assert 0 <= left < right <= page.width and size[1] < top < bottom <= page.height, text
        assert bottom - top >= 7  # pixels: small letters can be read
    boxes = [box for box, _ in written]
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other_left, other_top, other_right, other_bottom in boxes[index + 1 :]:
            assert right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top


def test_the_font_has_every_letter(written: list) -> None:
    """A letter that is missing in the font is drawn as a box."""
    below(drawn((512, 512)))
    font = ImageFont.load_default(20)
    missing = bytes(font.getmask("\N{GREATER-THAN OR EQUAL TO}"))
    letters = {letter for _, text in written for letter in text} - {" "}
    assert len(letters) > 20 and all(bytes(font.getmask(letter)) != missing for letter in letters)


def test_the_numbers_follow_the_scale(written: list) -> None:
    below(drawn((512, 512)), full=4.0)
    assert [text for _, text in written[:5]] == ["-4 or less", "-2", "0 logits", "+2", "+4 or more"]


def test_the_bar_has_the_colours_of_the_map_in_order() -> None:
    rows = np.asarray(below(drawn((640, 640)))).astype(int)
    size = max(13, 640 // 38)
    bar = rows[size // 2 + size // 2, size : 640 - size]
    assert tuple(bar[0]) == tuple(mixed(np.array([128.0]), np.array([-1.0]))[0])
    assert tuple(bar[-1]) == tuple(mixed(np.array([128.0]), np.array([1.0]))[0])
    reds = bar[:, 0] - bar[:, 2]
    assert (np.diff(reds) >= 0).all() and abs(reds[len(reds) // 2]) <= 2


def test_the_picture_is_on_top_and_in_the_middle() -> None:
    narrow = drawn((64, 640))
    page = with_legend(narrow, mixed, 3.0, TEXT)
    left = (LEAST_WIDTH - 64) // 2
    assert page.crop((left, 0, left + 64, 640)).tobytes() == narrow.tobytes()
    assert page.getpixel((left - 1, 300)) == (255, 255, 255)


def test_the_legend_grows_with_the_picture(written: list) -> None:
    below(drawn((512, 512)))
    small = written[0][0]
    below(drawn((1024, 1024)))
    large = next(box for box, _ in written[6:])
    assert large[3] - large[1] > 1.6 * (small[3] - small[1])


def test_a_long_word_does_not_hang() -> None:
    assert legend._wrapped("x" * 300, ImageFont.load_default(13), 100) == ["x" * 300]
