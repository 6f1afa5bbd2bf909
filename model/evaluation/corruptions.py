"""How a classifier bears what happens to radiographs: 13 kinds of corruption, each in five severities.

The published set of common corruptions (Hendrycks and Dietterich 2019) is of natural images: weather, glass, digital
cameras. These kinds are those of films: their exposure, their processing, their digitisation, and what lies on them.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model.data.dataset import Sample, picture
from model.evaluation.assess import Advance, score_picture
from model.evaluation.calibrate import sigmoid
from model.evaluation.intervals import proportion
from model.evaluation.metrics import evaluate
from model.serving.predict import Classifier

SEVERITIES = (1, 2, 3, 4, 5)
SIDE = 512  # pixels of the longer side to which films are reduced, so that a severity does not depend on their size
CLEAN = "clean"
_FIGURES = ("n", "auc", "sensitivity", "specificity")
Corruption = Callable[[Image.Image, int, np.random.Generator], Image.Image]


def _strength(severity: int, *values: float) -> float:
    return values[severity - 1]


def _from_values(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8))


def _curve(film: Image.Image, change: Callable[[float], float]) -> Image.Image:
    """Each grey value, in 0..1, by a function of it."""
    return film.point([round(255 * min(1.0, max(0.0, change(value / 255)))) for value in range(256)])


def _noise(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Too small a dose: the fewer quanta a pixel counts, the more the count varies."""
    quanta = _strength(severity, 800, 300, 120, 50, 20)
    return _from_values(rng.poisson(np.asarray(film, np.float64) / 255 * quanta) * (255 / quanta))


def _blur(film: Image.Image, severity: int, _: np.random.Generator) -> Image.Image:
    """The patient breathes, or the film lies away from the detector."""
    return film.filter(
        ImageFilter.GaussianBlur(_strength(severity, 0.002, 0.004, 0.007, 0.011, 0.016) * max(film.size))
    )


def _contrast(film: Image.Image, severity: int, _: np.random.Generator) -> Image.Image:
    """Too high a voltage, or a wide window: the film is flat around its mean."""
    mean, factor = float(np.asarray(film).mean()) / 255, _strength(severity, 0.8, 0.65, 0.5, 0.35, 0.22)
    return _curve(film, lambda value: mean + factor * (value - mean))


def _gamma(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Another curve of grey values, brighter or darker."""
    power = _strength(severity, 1.15, 1.35, 1.6, 2.0, 2.6) ** rng.choice((-1, 1))
    return _curve(film, lambda value: value**power)


def _exposure(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Over- or under-exposed: all values move, and those beyond black or white are lost."""
    shift = _strength(severity, 0.06, 0.12, 0.18, 0.26, 0.36) * rng.choice((-1, 1))
    return _curve(film, lambda value: value + shift)


def _crop(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Cut more tightly, and not in the centre."""
    cut = _strength(severity, 0.03, 0.06, 0.09, 0.13, 0.18)
    left, top = rng.uniform(0, 2 * cut, 2)
    width, height = film.size
    box = (left * width, top * height, (1 - 2 * cut + left) * width, (1 - 2 * cut + top) * height)
    return film.crop(tuple(round(edge) for edge in box))


def _rotation(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    degrees = _strength(severity, 3, 6, 10, 15, 22) * rng.choice((-1, 1))
    return film.rotate(degrees, Image.Resampling.BILINEAR)


def _jpeg(film: Image.Image, severity: int, _: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    film.save(file, "JPEG", quality=int(_strength(severity, 50, 30, 18, 10, 5)))
    return Image.open(file).convert("L")


def _resolution(film: Image.Image, severity: int, _: np.random.Generator) -> Image.Image:
    """A picture of a screen, or a thumbnail: as few pixels on the longer side, then enlarged."""
    scale = _strength(severity, 192, 128, 96, 72, 56) / max(film.size)
    if scale >= 1:
        return film
    small = film.resize((max(1, round(scale * film.width)), max(1, round(scale * film.height))))
    return small.resize(film.size, Image.Resampling.BILINEAR)


def _uneven(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Brighter towards one side: the heel effect, or a grid out of centre."""
    slope, angle = _strength(severity, 0.1, 0.2, 0.3, 0.42, 0.55), rng.uniform(0, 2 * np.pi)
    across, down = (np.linspace(-1, 1, side) for side in film.size)
    ramp = np.cos(angle) * across[None, :] + np.sin(angle) * down[:, None]
    return _from_values(np.asarray(film, np.float64) * (1 + slope * ramp))


def _border(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """A black frame, as of collimation or of a viewer."""
    width = round(_strength(severity, 0.03, 0.06, 0.1, 0.15, 0.2) * max(film.size))
    left, top = (int(part) for part in rng.integers(0, 2 * width + 1, 2))
    framed = Image.new("L", (film.width + 2 * width, film.height + 2 * width))
    framed.paste(film, (left, top))
    return framed


def _marker(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """Letters on the film: the more severe, the larger, and the more of them."""
    marked, height = film.copy(), max(8.0, _strength(severity, 0.04, 0.05, 0.06, 0.08, 0.1) * max(film.size))
    pen = ImageDraw.Draw(marked)
    for text in ("R", "PORTABLE", "SUPINE 40", "AP", "10:42")[:severity]:
        place = (rng.uniform(0, 0.8) * film.width, rng.uniform(0, 0.9) * film.height)
        pen.text(place, text, fill=255, font_size=height)
    return marked


def _occlusion(film: Image.Image, severity: int, rng: np.random.Generator) -> Image.Image:
    """A device or a foreign body: a bright disc over a share of the film."""
    covered, share = film.copy(), _strength(severity, 0.01, 0.025, 0.05, 0.09, 0.14)
    radius = np.sqrt(share * film.width * film.height / np.pi)
    x, y = rng.uniform(0.2, 0.8) * film.width, rng.uniform(0.2, 0.8) * film.height
    ImageDraw.Draw(covered).ellipse((x - radius, y - radius, x + radius, y + radius), fill=235)
    return covered


KINDS: Final[dict[str, Corruption]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "gamma": _gamma,
    "exposure": _exposure,
    "crop": _crop,
    "rotation": _rotation,
    "JPEG": _jpeg,
    "resolution": _resolution,
    "uneven exposure": _uneven,
    "border": _border,
    "text marker": _marker,
    "occlusion": _occlusion,
}
COPIES = 1 + len(KINDS) * len(SEVERITIES)  # that are scored of each film


def reduced(film: Image.Image) -> Image.Image:
    """The film itself, or a copy of at most SIDE x SIDE pixels."""
    scale = SIDE / max(film.size)
    if scale >= 1:
        return film
    return film.resize((max(1, round(scale * film.width)), max(1, round(scale * film.height))), reducing_gap=2.0)


def measure(classifier: Classifier, samples: Sequence[Sample], advance: Advance = lambda _: None) -> dict[str, Any]:
    """The figures of all films, CLEAN and after each corruption: {"clean": .., "kinds": {kind: [of severity 1, ..]}}.

    Each has n, `auc`, `sensitivity` and `specificity` of all copies and `refused`, the share that serving refuses, with
    95 % intervals. The copies are the same in each call. `advance` is called with 1 after each of COPIES copies a film.
    """
    found: dict[tuple[str, int], list[tuple[float, bool]]] = {}
    for number, sample in enumerate(samples):
        decoded = picture(sample)
        for key, film in copies(reduced(decoded.grey), number):
            copy = replace(decoded, grey=film, width=film.width, height=film.height)
            found.setdefault(key, []).append(score_picture(classifier, copy))
            advance(1)
    labels = [sample.label for sample in samples]
    figures = {key: _figures(classifier, labels, scored) for key, scored in found.items()}
    kinds = {kind: [figures[kind, severity] for severity in SEVERITIES] for kind in KINDS}
    return {CLEAN: figures[CLEAN, 0], "kinds": kinds}


def copies(film: Image.Image, number: int) -> Iterator[tuple[tuple[str, int], Image.Image]]:
    """The film itself, then each kind of corruption in each severity; `number` (of the film) seeds them."""
    yield (CLEAN, 0), film
    for index, (kind, corrupt) in enumerate(KINDS.items()):
        for severity in SEVERITIES:
            yield (kind, severity), corrupt(film, severity, np.random.default_rng((number, index, severity)))


def _figures(classifier: Classifier, labels: list[int], scored: list[tuple[float, bool]]) -> dict[str, Any]:
    bundle = classifier.bundle
    measured = evaluate(labels, sigmoid([logit for logit, _ in scored], bundle.temperature), bundle.threshold)
    refused = proportion(sum(refused for _, refused in scored), len(scored))
    return {**{name: measured[name] for name in _FIGURES}, "refused": refused}
