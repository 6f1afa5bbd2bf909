"""Draw synthetic chest radiographs: test pictures that show no patient and may be shared."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

NOTICE = "A drawing made by pneumoctl (model/phantom.py): no radiograph and no patient."
_RIBS = 10


class _Random:
    """Seeded random numbers that are the same in every NumPy version.

    Only raw bits of PCG64 are used: NumPy guarantees them to be stable, but not the distributions of Generator.
    """

    def __init__(self, seed: int) -> None:
        self.bits = np.random.PCG64(seed)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.field(1)[0, 0])

    def field(self, size: int) -> np.ndarray:
        """float32 [size, size], uniform in 0..1."""
        raw = self.bits.random_raw(size * size)
        return ((raw >> np.uint64(40)).astype(np.float32) / np.float32(2**24)).reshape(size, size)


def draw(seed: int, size: int = 512, opacity: bool = False) -> Image.Image:
    """Draw a frontal view of a thorax; returns mode "L", size x size pixels, identical for identical arguments.

    As on a film, the heart is at the viewer's right and air is dark. `opacity` adds patches of consolidation to one
    lung. The anatomy is schematic: suitable for tests, not for teaching.
    """
    random = _Random(seed)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x = axis[np.newaxis, :] - random.uniform(-0.04, 0.04)
    y = axis[:, np.newaxis] - random.uniform(-0.04, 0.04)
    scale = random.uniform(0.94, 1.06)
    x, y = x / scale, y / random.uniform(0.95, 1.05)
    apex = random.uniform(-0.84, -0.76)
    trunk = _trunk(x, y, random)
    lungs, right = _lungs(x, y, apex, random)
    air = lungs * (1 - 0.85 * _heart(x, y, random))
    if opacity:
        air = air - (air * _opacity(x, y, random, lungs, right)).clip(0, 1)
    film = 0.62 * trunk * (1 + 0.12 * _cloud(random, size, 6)) + 0.06 * trunk * _step(y - 0.55, 0.3)
    film += air * (_vessels(x, y, random, size) - 0.40 - 0.05 * _cloud(random, size, 8))
    film += _ribs(x, y, apex, random) + _spine(x, y, random) + _shoulders(x, y, random)
    film = 0.03 + 1.12 * film
    grain = random.field(size) + random.field(size) + random.field(size) - np.float32(1.5)
    film += 0.014 * grain * (0.4 + trunk)
    return Image.fromarray(np.rint(255 * film.clip(0, 1)).astype(np.uint8))


def _step(distance: np.ndarray, soft: float) -> np.ndarray:
    """A soft edge: 0 where `distance` is well below 0, 1 where it is well above."""
    slope = (distance / np.float32(soft) + np.float32(0.5)).clip(0, 1)
    return slope * slope * (3 - 2 * slope)


def _blob(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    """Squared distance from `centre` in units of `radii`: 1 on the ellipse."""
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2


def _cloud(random: _Random, size: int, cells: int) -> np.ndarray:
    """Smooth random brightness in about -1..1, `cells` bumps across."""
    coarse = Image.fromarray(2 * random.field(cells) - 1)
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _trunk(x: np.ndarray, y: np.ndarray, random: _Random) -> np.ndarray:
    """Soft tissue: neck, sloping shoulders, upper arms, chest wall; 0 in the air around it."""
    u = np.abs(x)
    side = random.uniform(0.82, 0.92) + 0.06 * np.sin(2.2 * y + 0.4)
    top = -1.05 + 0.62 * u**2
    chest = _step(side - u, 0.10) * _step(y - top, 0.16)
    arms = 0.8 * _step(1 - _blob(u, y, (1.02, -0.38), (0.26, 0.62)), 0.5) * _step(y - top, 0.2)
    neck = _step(0.34 - u, 0.16)
    return np.maximum(np.maximum(chest, arms), neck * _step(-0.5 - y, 0.4)) * (1 - 0.22 * u)


def _rim(y: np.ndarray, apex: float) -> np.ndarray:
    """Half width of the inner chest wall at height `y`: rounded at the apex, widest near the diaphragm."""
    height = ((y - apex) / 1.45).clip(0, 1)
    return 0.12 + 0.66 * np.sqrt(height * (2 - height)) ** 0.9 - 0.06 * height


def _lungs(x: np.ndarray, y: np.ndarray, apex: float, random: _Random) -> tuple[np.ndarray, np.ndarray]:
    """Masks in 0..1 of both lungs and of the lung at the viewer's left: apex, curved wall, dome of the diaphragm."""
    base = random.uniform(0.58, 0.70)
    sides = []
    for sign, raised in ((-1, 0.06), (1, 0.0)):
        u = sign * x
        height = ((y - apex) / (base - apex)).clip(0, 1)
        inner = 0.13 + 0.05 * height**2
        dome = base - raised - 0.20 * (1 - ((u - 0.34) / 0.44) ** 2).clip(-1, 1)
        wall = _step(_rim(y, apex) - 0.04 - u, 0.07)
        sides.append(wall * _step(u - inner, 0.08) * _step(dome - y, 0.05) * _step(y - apex, 0.12))
    return sides[0] + sides[1], sides[0]


def _ribs(x: np.ndarray, y: np.ndarray, apex: float, random: _Random) -> np.ndarray:
    """Posterior ribs that slope outwards, fainter anterior ribs that slope inwards, and the bright edge of the cage."""
    u = np.abs(x)
    gap = random.uniform(0.135, 0.155)
    rim = _rim(y, apex)
    inside = _step(rim + 0.02 - u, 0.05) * _step(u - 0.05, 0.08) * _step(y - apex + 0.06, 0.1) * _step(0.85 - y, 0.5)
    bend = 0.10 * np.sin(math.pi * (u / 0.8).clip(0, 1)) - 0.26 * (u / 0.8) ** 2.5
    back = _bands(y + bend - apex - 0.02, gap, 0.036)
    front = _bands(y + 0.55 * (u - 0.3) - apex + gap / 3, gap * 1.15, 0.045)
    cage = np.exp(-(((u - rim) / 0.028) ** 2)) * _step(y - apex - 0.05, 0.2) * _step(0.75 - y, 0.2)
    return inside * (0.11 * back + 0.05 * front * _step(u - 0.25, 0.2)) + 0.10 * cage * (0.5 + 0.5 * back)


def _bands(distance: np.ndarray, gap: float, thickness: float) -> np.ndarray:
    """`_RIBS` soft stripes, `gap` apart, with brighter edges as of cortical bone."""
    number = np.rint(distance / gap)
    offset = (distance - number * gap) / thickness
    stripe = np.exp(-(offset**4)) * (0.75 + 0.25 * offset**2)
    return stripe * (number >= 0) * (number < _RIBS)


def _spine(x: np.ndarray, y: np.ndarray, random: _Random) -> np.ndarray:
    """Vertebrae behind the mediastinum, with the air of the windpipe over the upper ones."""
    pitch = random.uniform(0.115, 0.13)
    phase = random.uniform(0, 1)
    discs = 0.5 + 0.5 * np.cos(2 * math.pi * (y / pitch + phase))
    column = _step(0.12 - np.abs(x), 0.07) * (0.12 - 0.03 * discs)
    pedicles = 0.05 * np.exp(-(((np.abs(x) - 0.07) / 0.02) ** 2)) * discs
    windpipe = 0.12 * np.exp(-((x / 0.045) ** 2)) * _step(-0.2 - y, 0.3)
    return column + pedicles - windpipe


def _heart(x: np.ndarray, y: np.ndarray, random: _Random) -> np.ndarray:
    """The heart's shadow, two thirds of it at the viewer's right, with the aortic knob above."""
    wide = random.uniform(0.32, 0.38)
    tilted = x - 0.35 * (y - 0.22)
    main = _step(1 - _blob(tilted, y, (0.10, 0.24), (wide, 0.40)), 0.25)
    knob = _step(1 - _blob(x, y, (0.13, -0.26), (0.12, 0.14)), 0.4)
    return np.maximum(main, knob)


def _shoulders(x: np.ndarray, y: np.ndarray, random: _Random) -> np.ndarray:
    """Collar bones, heads and shafts of the upper arms, edges of the shoulder blades."""
    u = np.abs(x)
    level = random.uniform(-0.68, -0.62)
    collar = np.exp(-(((y - level + 0.22 * (u - 0.1) - 0.03 * np.sin(8 * u)) / 0.03) ** 4))
    collar = collar * _step(u - 0.09, 0.06) * _step(0.80 - u, 0.08)
    head = _step(1 - _blob(u, y, (0.93, -0.62), (0.12, 0.12)), 0.5)
    shaft = _step(0.06 - np.abs(u - 1.0 - 0.1 * (y + 0.5)), 0.04) * _step(y + 0.60, 0.1) * _step(-0.05 - y, 0.3)
    blade = np.exp(-(((u - 0.74 + 0.25 * (y + 0.4)) / 0.02) ** 2)) * _step(y + 0.6, 0.2) * _step(-0.1 - y, 0.2)
    return 0.15 * collar + 0.12 * head + 0.10 * shaft + 0.05 * blade


def _vessels(x: np.ndarray, y: np.ndarray, random: _Random, size: int) -> np.ndarray:
    """Lung markings: branches that fan out from each hilum and fade towards the chest wall, and fine texture."""
    u = np.abs(x) - 0.16
    v = y - 0.02
    radius = np.sqrt(u * u + v * v)
    angle = np.arctan2(v, u) + 0.5 * _cloud(random, size, 9) + np.where(x > 0, np.float32(0.2), np.float32(0))
    fan = np.cos(7 * angle + 2 * _cloud(random, size, 12)) ** 2
    hilum = 0.13 * np.exp(-((radius / 0.15) ** 2))
    branches = 0.07 * fan**2 * _step(radius, 0.3) * np.exp(-((radius / 0.34) ** 2))
    return hilum + branches + 0.018 * _cloud(random, size, 24) + 0.018 * _cloud(random, size, 60)


def _opacity(x: np.ndarray, y: np.ndarray, random: _Random, lungs: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Patches of consolidation: soft bright spots of uneven density in one lung, a faint haze in both."""
    lung, sign = (right, -1) if random.uniform(0, 1) < 0.5 else (lungs - right, 1)
    patches = np.zeros_like(lungs)
    for _ in range(5):
        centre = (sign * random.uniform(0.30, 0.60), random.uniform(-0.15, 0.40))
        radii = (random.uniform(0.12, 0.24), random.uniform(0.12, 0.24))
        patches = np.maximum(patches, np.exp(-_blob(x, y, centre, radii)))
    uneven = 0.8 + 0.2 * _cloud(random, lungs.shape[0], 24)
    return 0.75 * lung * patches * uneven + 0.15 * lungs


def png(seed: int, size: int = 512, opacity: bool = False) -> bytes:
    """The drawing as a PNG file with NOTICE as its comment."""
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("Comment", NOTICE)
    file = BytesIO()
    draw(seed, size, opacity).save(file, "PNG", pnginfo=note)
    return file.getvalue()


def tree(directory: Path, patients: int, seed: int, size: int = 96) -> None:
    """Write a labelled folder tree for tests: train/test x NORMAL/PNEUMONIA, named like the Kermany set.

    `patients` is the number per folder; every second patient has two pictures, and bacterial and viral pneumonia
    alternate. Only PNEUMONIA has opacity, so the classes can be learned.
    """
    number = seed * 1_000_000
    for split, offset in (("train", 0), ("test", patients)):
        for patient in range(1 + offset, 1 + offset + patients):
            for picture in range(1 + patient % 2):
                for label, name in _names(patient, picture):
                    number += 1
                    path = directory / split / label / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    draw(number, size, label == "PNEUMONIA").save(path, "JPEG", quality=90)


def _names(patient: int, picture: int) -> tuple[tuple[str, str], tuple[str, str]]:
    prefix = "NORMAL2-IM" if patient % 3 == 0 else "IM"
    subtype = "virus" if patient % 2 else "bacteria"
    return (
        ("NORMAL", f"{prefix}-{patient:04d}-{picture + 1:04d}.jpeg"),
        ("PNEUMONIA", f"person{patient}_{subtype}_{patient * 3 + picture}.jpeg"),
    )


def main() -> None:
    """Write one drawing to a file."""
    import argparse  # not at the top: a prediction imports this module

    parser = argparse.ArgumentParser(prog="python -m model.phantom", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.png", help="file to write")
    parser.add_argument("--seed", type=int, default=7, help="each seed gives another drawing (default: 7)")
    parser.add_argument("--size", type=int, default=512, help="side in pixels (default: 512)")
    parser.add_argument("--opacity", action="store_true", help="draw patches of consolidation")
    options = parser.parse_args()
    if options.size < 1:
        parser.error("--size must be at least 1")
    try:
        options.out.write_bytes(png(options.seed, options.size, options.opacity))
    except OSError as error:
        parser.exit(1, f"error: {options.out} cannot be written: {error.strerror}\n  next: name another file\n")
    print(f"{options.out}: {NOTICE}")


if __name__ == "__main__":
    main()
