"""Alter films by kind: harmless copies, which serving must accept, and unsuitable copies, which it must refuse.

Each alteration takes a film (mode "L") and a generator of random numbers and returns a new film; equal generators give
equal copies. Strengths in pixels (noise, softness, sharpening) are those for films of about 224 pixels: reduce larger
films first, with `reduced`. In a larger film such an alteration changes less of what it shows, and stays harmless.
"""

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from model.images import drawn_parts

Alteration = Callable[[Image.Image, np.random.Generator], Image.Image]
SIDE = 256  # pixels of the longer side from which copies are made; the statistics are computed at half of that
_TURN = Image.Transpose
_WARP_CELLS = 4  # on each side, whose corners are moved


def reduced(film: Image.Image, least: tuple[float, float] = (0, 0)) -> Image.Image:
    """The film itself, or a copy of at most SIDE x SIDE pixels, so that the cost does not depend on its size.

    least: width and height that the copy must have, even if it then is larger.
    """
    scale = max(SIDE / max(film.size), *(needed / side for needed, side in zip(least, film.size, strict=True)))
    if scale >= 1:
        return film
    return film.resize((max(1, round(scale * film.width)), max(1, round(scale * film.height))), reducing_gap=2.0)


def _part(film: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """The part of a film between these fractions of its width and height."""
    width, height = film.size
    return film.crop((int(left * width), int(top * height), int(right * width), int(bottom * height)))


def _levels(film: Image.Image, gain: float, offset: float) -> Image.Image:
    return film.point([min(255, max(0, int(gain * value + offset))) for value in range(256)])


def _jpeg(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    return reencoded(film, int(rng.uniform(20, 95)))


def reencoded(film: Image.Image, quality: int) -> Image.Image:
    """The film after JPEG compression."""
    file = io.BytesIO()
    film.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("L")


def _noise(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    values = np.asarray(film, np.float32) + rng.normal(0, rng.uniform(2, 10), (film.height, film.width))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _resize(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    scale = rng.uniform(0.35, 1.5)
    return film.resize((max(64, int(scale * film.width)), max(64, int(scale * film.height))), Image.Resampling.BILINEAR)


def _crop(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    left, top, right, bottom = rng.uniform(0, 0.08, 4)
    return _part(film, left, top, 1 - right, 1 - bottom)


def _gamma(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    power = np.exp(rng.uniform(-0.4, 0.4))
    return film.point([int(255 * (value / 255) ** power + 0.5) for value in range(256)])


def _exposure(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    gain = rng.uniform(0.75, 1.3)
    return _levels(film, gain, rng.uniform(-60, 5) if gain > 1.1 else rng.uniform(-20, 20))


def _stretch(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.autocontrast(film, cutoff=rng.uniform(0, 2))


def _tilt(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    return film.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR)


def _border(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    left, top, right, bottom = (int(side) for side in rng.uniform(0, 0.09, 4) * max(film.size))
    return ImageOps.expand(film, (left, top, right, bottom), 0)


def _soft(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    return film.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))


def _marker(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A bright block in a corner, as of the letter that names the side."""
    marked, (width, height) = film.copy(), film.size
    size = int(rng.uniform(0.03, 0.08) * width)
    left = int(rng.choice([0.04, 0.88]) * width)
    top = int(rng.choice([0.04, 0.88]) * height)
    marked.paste(int(rng.uniform(200, 256)), (left, top, left + size, top + int(1.3 * size)))
    return marked


def _reshaped(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut on two opposite sides: pressed to a square, a film of another shape shows a wider or longer chest."""
    cut = rng.uniform(0, 0.14)
    return _part(film, cut, 0, 1 - cut, 1) if rng.random() < 0.7 else _part(film, 0, cut, 1, 1 - cut)


def _sharpened(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """With stronger edges, as the processing of many vendors draws them."""
    return film.filter(ImageFilter.UnsharpMask(rng.uniform(1, 12), int(rng.uniform(30, 150)), 0))


def _evened(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """On the way to an even histogram, as processing for contrast goes."""
    return Image.blend(film, ImageOps.equalize(film), rng.uniform(0.2, 0.7))


def _shaded(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brighter towards one side, as by the heel effect or a grid out of centre."""
    across, down = (rng.uniform(-0.25, 0.25) * np.linspace(-1, 1, side) for side in film.size)
    values = np.asarray(film, np.float32) * (1 + across[None, :] + down[:, None])
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _warped(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A chest of another build: the film is stretched and pressed smoothly, by up to 5 % of its size."""
    lines, size = np.linspace(0, 1, _WARP_CELLS + 1), np.array(film.size)
    points = np.stack(np.meshgrid(lines, lines), axis=-1) + rng.uniform(-0.05, 0.05, (_WARP_CELLS + 1,) * 2 + (2,))
    mesh = []
    for row, column in np.ndindex(_WARP_CELLS, _WARP_CELLS):
        box = [*(size * (lines[column], lines[row])), *(size * (lines[column + 1], lines[row + 1]))]
        corners = [points[row, column], points[row + 1, column], points[row + 1, column + 1], points[row, column + 1]]
        mesh.append((tuple(round(edge) for edge in box), tuple((size * corners).ravel())))
    return film.transform(film.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def _overexposed(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Medium grey becomes nearly white, or would become brighter than white."""
    gain = rng.uniform(1.3, 2.5)
    return _levels(film, gain, rng.uniform(230, 330) - 128 * gain)


def _centre(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    share = rng.uniform(0.35, 0.6)
    left, top = (1 - share) / 2 + rng.uniform(-0.08, 0.08, 2)
    return _part(film, left, top, left + share, top + share)


def _side(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    share = rng.uniform(0.4, 0.6)
    return _part(film, 0, 0, share, 1) if rng.random() < 0.5 else _part(film, 1 - share, 0, 1, 1)


def _corner(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    share = rng.uniform(0.3, 0.6)
    left, top = rng.choice([0, 1 - share]), rng.choice([0, 1 - share])
    return _part(film, left, top, left + share, top + share)


def _swapped(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The halves of a film in the wrong order."""
    values = np.asarray(film)
    axis = int(rng.random() < 0.5)
    return Image.fromarray(np.roll(values, values.shape[axis] // 2, axis=axis))


def _strip(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A narrow part of a film on a dark ground, at any angle."""
    (width, height), share = film.size, rng.uniform(0.2, 0.5)
    ground = Image.new("L", film.size, int(rng.uniform(0, 20)))
    left = rng.uniform(0, 1 - share)
    strip = _part(film, left, 0, left + share, 1) if rng.random() < 0.7 else film
    ground.paste(strip.resize((int(share * width), height)), (int(rng.uniform(0, 1 - share) * width), 0))
    return ground if rng.random() < 0.6 else ground.rotate(rng.uniform(-60, 60))


def _sheared(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    across, down = rng.uniform(0.25, 0.7, 2) * rng.choice([-1, 1], 2)
    matrix = (1, across, -across * film.height / 2, down, 1, -down * film.width / 2)
    return film.transform(film.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _doubled(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Two exposures on one film, the second of them turned."""
    turned = film.transpose(_TURN(int(rng.choice([_TURN.ROTATE_90, _TURN.ROTATE_180, _TURN.ROTATE_270]))))
    return Image.blend(film, turned.resize(film.size), rng.uniform(0.4, 0.6))


HARMLESS: Final[dict[str, Alteration]] = {
    "JPEG of quality 20 to 95": _jpeg,
    "noise": _noise,
    "another resolution": _resize,
    "edges cut by up to 8 %": _crop,
    "gamma": _gamma,
    "brighter or darker": _exposure,
    "contrast stretched": _stretch,
    "tilted by up to 8 degrees": _tilt,
    "black borders": _border,
    "slightly soft": _soft,
    "a marker": _marker,
    "another shape of film": _reshaped,
    "sharpened": _sharpened,
    "histogram evened": _evened,
    "shaded to one side": _shaded,
    "another build": _warped,
}
UNSUITABLE: Final[dict[str, Alteration]] = {
    "turned by 90 degrees": lambda film, _: film.transpose(_TURN.ROTATE_90),
    "turned by 180 degrees": lambda film, _: film.transpose(_TURN.ROTATE_180),
    "turned by 270 degrees": lambda film, _: film.transpose(_TURN.ROTATE_270),
    "upside down, mirrored": lambda film, _: film.transpose(_TURN.FLIP_TOP_BOTTOM),
    "inverted": lambda film, _: ImageOps.invert(film),
    "cut to the centre": _centre,
    "cut to the lower half": lambda film, rng: _part(film, 0, rng.uniform(0.4, 0.6), 1, 1),
    "cut to the upper half": lambda film, rng: _part(film, 0, 0, 1, rng.uniform(0.4, 0.6)),
    "cut to one side": _side,
    "cut to a corner": _corner,
    "over-exposed": _overexposed,
    "under-exposed": lambda film, rng: _levels(film, rng.uniform(0.15, 0.5), rng.uniform(-40, 0)),
    "blurred": lambda film, rng: film.filter(ImageFilter.GaussianBlur(rng.uniform(4, 12))),
    "bright part inverted": lambda film, rng: ImageOps.solarize(film, int(rng.uniform(90, 160))),
    "halves swapped": _swapped,
    "sheared": _sheared,
    "exposed twice": _doubled,
    "strip on a dark ground": _strip,
    "drawn head": drawn_parts.head,
    "drawn limbs": drawn_parts.limbs,
    "drawn side view": drawn_parts.side_view,
    "drawn clouds": drawn_parts.clouds,
}


def harmless(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A copy with one to three harmless alterations, one after the other."""
    kinds = list(HARMLESS.values())
    for _ in range(int(rng.integers(1, 4))):
        film = kinds[int(rng.integers(len(kinds)))](film, rng)
    return film
