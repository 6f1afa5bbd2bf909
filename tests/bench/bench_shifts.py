"""Measure what a bundle loses at "balanced" on validation films that were made brighter, made darker or cut.

`python -m tests.bench.bench_shifts DATA [--bundle DIR]`. DATA is the data that the bundle was trained on. Goal: a film
with its grey values times 1.6, or cut by 15 % a side, loses at most .10 of balanced accuracy. Refused films are scored,
too.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from model.bundling.card_tables import interval
from model.data import dataset, shifted
from model.data.dataset import read
from model.evaluation.calibrate import sigmoid
from model.evaluation.metrics import evaluate
from model.images.decode import to_input
from model.settings import validation_cut
from tests.bench.real_pictures import folder_and_classifier

GOAL = 0.10
CUT = 0.15  # share of width and height
# Training chooses the epoch on the copies of its seed, an export threshold and calibration on those of the next one.
COPIES_SEED = 2  # added to the seed of the split: copies that no threshold was chosen on


def times(factor: float) -> Callable[[Image.Image], Image.Image]:
    """All grey values times a factor; what becomes brighter than white stays white."""
    return lambda film: film.point([min(255, int(factor * value + 0.5)) for value in range(256)])


def cut(film: Image.Image) -> Image.Image:
    """The film without CUT of each side."""
    left, top = round(CUT * film.width), round(CUT * film.height)
    return film.crop((left, top, film.width - left, film.height - top))


SHIFTS = {
    "as they are": lambda film: film,
    "grey values times 1.6": times(1.6),
    "grey values times 1 / 1.6": times(1 / 1.6),
    "cut by 15 % a side": cut,
}


def main() -> None:
    """Print one row of a table for each shift."""
    data, classifier = folder_and_classifier(__doc__)
    bundle = classifier.bundle
    cut = validation_cut(bundle.manifest["settings"])
    loaded = dataset.load(data)
    if loaded.manifest_sha256 != bundle.manifest["data"]["manifest_sha256"]:
        raise SystemExit(f"{data} is not the data that {bundle.name} was trained on: it may have seen these films")
    part = dataset.split(loaded, *cut).part("validation")
    films, labels = [read(sample) for sample in part], np.array([sample.label for sample in part])
    size = bundle.height, bundle.width
    pixels = {name: np.stack([to_input(shift(film), *size) for film in films]) for name, shift in SHIFTS.items()}
    pixels["one shifted copy of each"] = shifted.arrays(part, *size, cut[1] + COPIES_SEED)[0][:: shifted.DRAWS]
    print(f"{bundle.name} {bundle.version}, {len(films)} films of validation, threshold {bundle.threshold:.6g}")
    print("| films | AUC | sensitivity | specificity | loss of balanced accuracy |")
    print("| --- | ---: | ---: | ---: | ---: |")
    before = None
    for name, batch in pixels.items():
        logits = np.concatenate([classifier.logits(one[np.newaxis].astype(np.float32)) for one in batch])
        found = evaluate(labels, sigmoid(logits, bundle.temperature), bundle.threshold)
        accuracy = (found["sensitivity"]["value"] + found["specificity"]["value"]) / 2
        before = accuracy if before is None else before
        figures = " | ".join(interval(found[figure]) for figure in ("auc", "sensitivity", "specificity"))
        print(f"| {name} | {figures} | {before - accuracy:.3f} (goal {GOAL:.2f}) |")


if __name__ == "__main__":
    main()
