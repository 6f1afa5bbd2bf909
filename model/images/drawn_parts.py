"""Draw pictures that are no frontal chest film: a head, limbs, a side view of a chest, clouds.

They are schematic, and take their texture from a film. The refusal is fitted on them, so that it does not learn films
alone.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 160  # pixels
Box = tuple[float, float, float, float]


def head(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A slice of a head: texture in an ellipse on black, within a bright or a dark ring."""
    canvas, box = Image.new("L", (SIDE, SIDE), int(rng.uniform(0, 12))), _ellipse(rng, 0.5, 0.5, (0.3, 0.48))
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    texture = _texture(film, rng).filter(ImageFilter.GaussianBlur(rng.uniform(0, 4)))
    canvas.paste(texture.point(_ramp(rng.uniform(0.3, 1.1))), mask=mask)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(1, 3))):
        pen.ellipse(box, outline=int(rng.uniform(0, 256)), width=int(rng.uniform(2, 10)))
    for _ in range(int(rng.integers(0, 5))):  # ventricles, orbits
        x, y = rng.uniform(0.3, 0.7, 2)
        pen.ellipse(_ellipse(rng, x, y, (0.02, 0.12)), fill=int(rng.uniform(0, 256)))
    return _finished(canvas, rng)


def limbs(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One to five bones with bright edges in soft tissue, parallel or as a fan, on a dark ground."""
    canvas = Image.new("L", (SIDE, SIDE), int(rng.uniform(0, 60)))
    pen, count = ImageDraw.Draw(canvas), int(rng.integers(1, 6))
    tissue, bone, edge = rng.uniform(50, 140), rng.uniform(110, 200), rng.uniform(170, 256)
    width, fan = SIDE * rng.uniform(0.5, 1.0) / count, rng.uniform(0, 0.5)
    ends = [(SIDE * (0.5 + (index - (count - 1) / 2) * rng.uniform(0.6, 1.0) / count), 0.0) for index in range(count)]
    lines = [((x, -9.0), (SIDE / 2 + (x - SIDE / 2) * (1 - fan), SIDE + 9.0)) for x, _ in ends]
    for share, shade in ((0.95, tissue), (rng.uniform(0.35, 0.6), edge), (rng.uniform(0.15, 0.33), bone)):
        for line in lines:
            pen.line(line, fill=int(shade), width=max(1, int(share * width)))
    joint = SIDE * rng.uniform(0.2, 0.8)
    for (x, _), (low, _) in lines:  # the ends of the bones, and the gap between them
        at, half = x + (low - x) * joint / SIDE, width * rng.uniform(0.25, 0.4)
        pen.ellipse((at - half, joint - half, at + half, joint + half), fill=int((bone + edge) / 2))
        pen.line(((at - half, joint), (at + half, joint)), fill=int(tissue), width=int(rng.integers(1, 5)))
    canvas = Image.blend(canvas, _texture(film, rng), rng.uniform(0, 0.25))
    return _finished(canvas.rotate(rng.uniform(-40, 40) if rng.random() < 0.5 else 90 * int(rng.integers(4))), rng)


def side_view(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A chest from the side: one dark field between the spine and the breastbone, the heart before and below it."""
    canvas = Image.new("L", (SIDE, SIDE), int(rng.uniform(0, 60)))
    pen, tissue = ImageDraw.Draw(canvas), rng.uniform(110, 200)
    air, bright = tissue * rng.uniform(0.25, 0.6), min(255, tissue * rng.uniform(1.1, 1.5))
    pen.rectangle(_box(rng.uniform(0.0, 0.2), -0.1, rng.uniform(0.8, 1.0), 1.1), fill=int(tissue))
    pen.ellipse(_ellipse(rng, 0.52, 0.48, (0.26, 0.42)), fill=int(air))
    pen.ellipse(_ellipse(rng, rng.uniform(0.25, 0.4), rng.uniform(0.5, 0.7), (0.12, 0.25)), fill=int(bright))
    pen.rectangle(_box(0, rng.uniform(0.7, 0.9), 1, 1), fill=int(bright))  # the abdomen
    pen.rectangle(_box(0.2, 0, 0.8, rng.uniform(0.0, 0.2)), fill=int(bright))  # the shoulders
    spine, thick = rng.uniform(0.68, 0.85), rng.uniform(0.06, 0.14)
    pen.line((*_at(spine - 0.1, 0), *_at(spine, 0.5), *_at(spine - 0.05, 1)), fill=int(bright), width=int(thick * SIDE))
    canvas = canvas.rotate(rng.uniform(-8, 8)).filter(ImageFilter.GaussianBlur(rng.uniform(2, 8)))
    canvas = Image.blend(canvas, _texture(film, rng), rng.uniform(0.05, 0.3))
    return _finished(canvas if rng.random() < 0.5 else canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT), rng)


def clouds(_: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Smooth random fields of several scales with the brightness and contrast of a film."""
    field = np.zeros((SIDE, SIDE))
    for cells in (2, 4, 8, 16, 64):
        coarse = Image.fromarray(rng.normal(0, 1, (cells, cells)).astype(np.float32))
        weight = rng.uniform(0, 1) / np.sqrt(cells)
        field += weight * np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    field = rng.uniform(90, 160) + rng.uniform(35, 70) * (field - field.mean()) / (field.std() + 1e-6)
    return _finished(Image.fromarray(np.clip(field, 0, 255).astype(np.uint8)), rng)


def _texture(film: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random square part of a film, turned by a multiple of 90 degrees."""
    share = rng.uniform(0.3, 0.9)
    left, top = rng.uniform(0, 1 - share, 2)
    width, height = film.size
    box = (int(left * width), int(top * height), int((left + share) * width), int((top + share) * height))
    return film.resize((SIDE, SIDE), box=box).rotate(90 * int(rng.integers(4)))


def _finished(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """With the blur and the grain of a film."""
    canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    grain = np.asarray(canvas, np.float32) + rng.normal(0, rng.uniform(0, 5), (SIDE, SIDE))
    return Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))


def _ellipse(rng: np.random.Generator, x: float, y: float, radii: tuple[float, float]) -> Box:
    across, down = rng.uniform(*radii, 2)
    return _box(x - across, y - down, x + across, y + down)


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    return left * SIDE, top * SIDE, right * SIDE, bottom * SIDE


def _at(x: float, y: float) -> tuple[float, float]:
    return x * SIDE, y * SIDE


def _ramp(gain: float) -> list[int]:
    return [min(255, int(gain * value)) for value in range(256)]
