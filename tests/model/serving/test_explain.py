"""The heat map, checked with a network whose result is known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.images import decode
from model.serving import explain
from model.serving.predict import Classifier


class Corner:
    """A classifier whose logit is the brightness of the top left quarter, minus that of the bottom right."""

    bundle = SimpleNamespace(height=32, width=48)

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        self.batches.append(pixels.shape)
        return pixels[:, :16, :24].mean(axis=(1, 2, 3)) - pixels[:, 16:, 24:].mean(axis=(1, 2, 3))


@pytest.fixture
def bright_corners() -> Image.Image:
    picture = Image.new("L", (96, 64), 20)
    picture.paste(220, (0, 0, 48, 32))
    picture.paste(220, (48, 32, 96, 64))
    return picture


def test_cells_get_the_sign_of_their_effect(bright_corners: Image.Image) -> None:
    heat = explain.occlusion(Corner(), bright_corners, grid=4)
    assert heat.shape == (4, 4) and heat.dtype == np.float32
    assert (heat[:2, :2] > 1).all() and (heat[2:, 2:] < -1).all()
    assert np.abs(heat[:2, 2:]).max() < 1e-4 and np.abs(heat[2:, :2]).max() < 1e-4


def test_all_cells_go_through_one_run(bright_corners: Image.Image) -> None:
    corner = Corner()
    explain.occlusion(corner, bright_corners, grid=8)
    assert corner.batches == [(65, 32, 48, 1)]


@pytest.mark.parametrize("grid", [3, 5, 7, 32])
def test_every_pixel_is_covered_by_exactly_one_cell(grid: int) -> None:
    seen: list[np.ndarray] = []
    spy = SimpleNamespace(bundle=Corner.bundle, logits=lambda batch: seen.append(batch) or np.zeros(len(batch)))
    picture = Image.fromarray(np.tile(np.arange(0, 192, 4, dtype=np.uint8), (32, 1)))
    explain.occlusion(spy, picture, grid)
    changed = (seen[0][:-1] != seen[0][-1]).sum(axis=0)[:, :, 0]
    unchanged_by_chance = seen[0][-1][:, :, 0] == seen[0][-1].mean()
    assert (changed + unchanged_by_chance == 1).all()


@pytest.mark.parametrize("grid", [0, -1, 33])
def test_grid_that_does_not_fit_is_an_error(grid: int, bright_corners: Image.Image) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        explain.occlusion(Corner(), bright_corners, grid)


def test_overlay_is_red_for_and_blue_against(bright_corners: Image.Image) -> None:
    heat = np.array([[1.0, 0.0], [0.0, -1.0]], dtype=np.float32)
    shown = explain.overlay(bright_corners, heat)
    assert shown.mode == "RGB" and shown.size == bright_corners.size
    red, _, blue = shown.getpixel((4, 4))
    assert red > blue + 60
    red, _, blue = shown.getpixel((91, 59))
    assert blue > red + 60


def test_overlay_without_effect_is_the_picture(bright_corners: Image.Image) -> None:
    for heat in (np.zeros((4, 4)), np.full((4, 4), np.nan)):
        assert explain.overlay(bright_corners, heat).tobytes() == bright_corners.convert("RGB").tobytes()


def test_overlay_of_a_large_picture_is_limited_and_keeps_its_shape() -> None:
    shown = explain.overlay(Image.new("L", (3000, 1500), 90), np.ones((2, 2)))
    assert shown.size == (explain.MAX_SIDE, explain.MAX_SIDE // 2)


def test_drawing_is_explained_by_where_the_opacity_is(tiny_bundle: Path) -> None:
    classifier = Classifier.open(tiny_bundle, threads=1)
    picture = phantom.draw(100, 256, opacity=True)
    heat = explain.occlusion(classifier, picture)
    plain = explain.occlusion(classifier, phantom.draw(100, 256))
    assert heat.sum() > plain.sum()
    covered = decode.to_input(picture, 32, 32)
    covered[0:4, 0:4] = covered.mean()
    both = classifier.logits(np.stack([decode.to_input(picture, 32, 32), covered]))
    assert heat[0, 0] == pytest.approx(both[0] - both[1], abs=1e-4)
