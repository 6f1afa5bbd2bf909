"""The heat map, checked with a network whose result is known."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from model import bundle as bundles
from model import phantom
from model.images import decode
from model.serving import explain
from model.serving.occlusion import occlusion
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
    heat = occlusion(Corner(), bright_corners, grid=4)
    assert heat.shape == (4, 4) and heat.dtype == np.float32
    assert (heat[:2, :2] > 1).all() and (heat[2:, 2:] < -1).all()
    assert np.abs(heat[:2, 2:]).max() < 1e-4 and np.abs(heat[2:, :2]).max() < 1e-4


def test_all_cells_go_through_one_run(bright_corners: Image.Image) -> None:
    corner = Corner()
    occlusion(corner, bright_corners, grid=8)
    assert corner.batches == [(65, 32, 48, 1)]


@pytest.mark.parametrize("grid", [3, 5, 7, 32])
def test_every_pixel_is_covered_by_exactly_one_cell(grid: int) -> None:
    seen: list[np.ndarray] = []
    spy = SimpleNamespace(bundle=Corner.bundle, logits=lambda batch: seen.append(batch) or np.zeros(len(batch)))
    picture = Image.fromarray(np.tile(np.arange(40, 232, 4, dtype=np.uint8), (32, 1)))
    occlusion(spy, picture, grid)
    changed = (seen[0][:-1] != seen[0][-1]).sum(axis=0)[:, :, 0]
    unchanged_by_chance = seen[0][-1][:, :, 0] == seen[0][-1].mean()
    assert (changed + unchanged_by_chance == 1).all()


@pytest.mark.parametrize("grid", [0, -1, 33])
def test_grid_that_does_not_fit_is_an_error(grid: int, bright_corners: Image.Image) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        occlusion(Corner(), bright_corners, grid)


def test_a_black_border_is_neither_covered_nor_part_of_the_brightness_of_the_cover() -> None:
    seen: list[np.ndarray] = []
    spy = SimpleNamespace(bundle=Corner.bundle, logits=lambda batch: seen.append(batch) or np.zeros(len(batch)))
    framed = Image.new("L", (48, 32))
    framed.paste(Image.fromarray(np.tile(np.arange(50, 210, 5, dtype=np.uint8), (24, 1))), (8, 4))
    occlusion(spy, framed, 4)
    changed = (seen[0][:-1] != seen[0][-1]).any(axis=0)[:, :, 0]
    assert changed[4:28, 8:40].mean() > 0.95
    changed[4:28, 8:40] = False
    assert not changed.any()
    assert seen[0][0, 4, 8, 0] == pytest.approx(np.arange(50, 210, 5).mean())


def test_a_network_without_a_number_gives_no_map(bright_corners: Image.Image) -> None:
    broken = SimpleNamespace(bundle=Corner.bundle, logits=lambda batch: np.where(np.arange(len(batch)) == 3, np.nan, 0))
    with pytest.raises(ArithmeticError, match="not finite"):
        occlusion(broken, bright_corners)


def flat(grey: int = 120, size: tuple[int, int] = (600, 600)) -> Image.Image:
    return Image.new("L", size, grey)


def redness(picture: Image.Image, at: tuple[int, int]) -> int:
    red, _, blue = picture.getpixel(at)
    return red - blue


def test_overlay_is_red_for_and_blue_against() -> None:
    shown = explain.overlay(flat(), np.array([[1.0, 0.0], [0.0, -1.0]], dtype=np.float32))
    assert shown.mode == "RGB" and shown.size == (600, 600)
    assert redness(shown, (30, 30)) > 20 and redness(shown, (570, 570)) < -20
    assert shown.getpixel((300, 300)) == pytest.approx((120, 120, 120), abs=2)


def test_the_colour_depends_on_the_logits_and_not_on_the_rest_of_the_map() -> None:
    weak, strong = np.zeros((8, 8)), np.zeros((8, 8))
    weak[1, 1], strong[1, 1], strong[6, 6] = 1.0, 1.0, 3.0
    at, other = (112, 112), (488, 488)  # the middles of the two cells
    first, second = explain.overlay(flat(), weak), explain.overlay(flat(), strong)
    assert first.getpixel(at) == second.getpixel(at) and 0 < redness(first, at) < redness(second, other)


def test_full_colour_is_reached_at_a_fixed_number_of_logits() -> None:
    full = explain.overlay(flat(), np.full((8, 8), explain.FULL_COLOUR)).getpixel((300, 300))
    assert explain.overlay(flat(), np.full((8, 8), 10 * explain.FULL_COLOUR)).getpixel((300, 300)) == full
    assert redness(explain.overlay(flat(), np.full((8, 8), explain.FULL_COLOUR * 0.9)), (300, 300)) < full[0] - full[2]


def test_a_map_without_effect_leaves_the_picture() -> None:
    assert explain.overlay(flat(), np.zeros((8, 8))).tobytes() == flat().convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("size", "shown"),
    [((3000, 1500), (1024, 512)), ((64, 64), (512, 512)), ((600, 700), (600, 700)), ((64, 640), (64, 640))],
)
def test_an_overlay_is_large_enough_to_see_and_keeps_its_shape(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert explain.overlay(flat(size=size), np.ones((8, 8))).size == shown


def test_a_black_border_has_no_colour() -> None:
    framed = Image.new("L", (640, 600))
    framed.paste(flat(size=(400, 500)), (200, 60))
    shown = np.asarray(explain.overlay(framed, np.full((8, 8), 3.0))).astype(int)
    coloured = np.abs(shown[:, :, 0] - shown[:, :, 2]) > 2
    assert coloured[60:560, 200:600].all()
    coloured[60:560, 200:600] = False
    assert not coloured.any()


def classifier_with(bundle: Path, tmp_path: Path, mean: list[list[float]] | None) -> Classifier:
    """The tiny classifier of a bundle with this mean map."""
    copy = Path(shutil.copytree(bundle, tmp_path / f"bundle{mean is not None}"))
    rest = {key: value for key, value in bundles.load(copy).manifest.items() if key not in ("version", "files")}
    return Classifier(bundles.write(copy, rest if mean is None else {**rest, "heat_map": {"mean": mean, "films": 150}}))


def test_the_mean_map_of_the_bundle_is_subtracted(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[np.ndarray] = []
    texts: list[str] = []
    monkeypatch.setattr(explain, "overlay", lambda grey, heat: drawn.append(heat) or flat().convert("RGB"))
    monkeypatch.setattr(explain, "with_legend", lambda picture, *rest: texts.append(rest[-1]) or picture)
    picture = phantom.draw(100, 256, opacity=True)
    mean = np.arange(64.0).reshape(8, 8)
    for given in (None, mean.tolist()):
        explain.heat_map(classifier_with(tiny_bundle, tmp_path, given), picture)
    assert drawn[0] == pytest.approx(occlusion(Classifier.open(tiny_bundle), picture))
    assert drawn[0] - drawn[1] == pytest.approx(mean, abs=1e-4)
    assert texts[0].endswith("not subtracted") and texts[1].endswith("minus the mean of 150 films")


def test_a_heat_map_is_the_overlay_with_a_legend_below(tiny_bundle: Path) -> None:
    classifier, picture = Classifier.open(tiny_bundle), phantom.draw(100, 600, opacity=True)
    shown = explain.heat_map(classifier, picture)
    assert shown.width == 600 and 640 < shown.height < 800
    top = explain.overlay(picture, occlusion(classifier, picture))
    assert shown.crop((0, 0, 600, 600)).tobytes() == top.tobytes()


def test_drawing_is_explained_by_where_the_opacity_is(tiny_bundle: Path) -> None:
    classifier = Classifier.open(tiny_bundle, threads=1)
    picture = phantom.draw(100, 256, opacity=True)
    heat = occlusion(classifier, picture)
    plain = occlusion(classifier, phantom.draw(100, 256))
    assert heat.sum() > plain.sum()
    covered = decode.to_input(picture, 32, 32)
    covered[0:4, 0:4] = covered.mean()
    both = classifier.logits(np.stack([decode.to_input(picture, 32, 32), covered]))
    assert heat[0, 0] == pytest.approx(both[0] - both[1], abs=1e-4)
