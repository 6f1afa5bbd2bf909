"""Count what a bundle says of healthy films that are cut less than the copies that its refusal was fitted to.

`python -m tests.bench.bench_cuts DATA [--bundle DIR]`. DATA is the data that the bundle was trained on; the films are
those of its validation part, at most 150.
"""

import io

from PIL import Image

from model.data import dataset
from model.data.dataset import read
from model.serving.prediction import Prediction
from model.settings import validation_cut
from tests.bench.real_pictures import folder_and_classifier

MOST = 150  # films
# Left, top, right and bottom of what is left, as fractions of width and height.
CUTS = {
    "whole": (0, 0, 1, 1),
    "the central 86 %": (0.07, 0.07, 0.93, 0.93),
    "the central 70 %": (0.15, 0.15, 0.85, 0.85),
    "the central 60 %": (0.2, 0.2, 0.8, 0.8),
    "the lower 80 %": (0, 0.2, 1, 1),
    "the upper 80 %": (0, 0, 1, 0.8),
    "the lower 70 %": (0, 0.3, 1, 1),
    "the right 75 %": (0.25, 0, 1, 1),
}


def main() -> None:
    """Print one row of a table for each cut."""
    data, classifier = folder_and_classifier(__doc__)
    settings = classifier.bundle.manifest["settings"]
    films = dataset.split(dataset.load(data), *validation_cut(settings))
    healthy = [read(sample).convert("L") for sample in films.part("validation") if sample.label == 0][:MOST]
    print(f"{classifier.bundle.name} {classifier.bundle.version}, {len(healthy)} healthy films of validation")
    print("| what is left | refused | called pneumonia | of these with the caution unlike_training |")
    print("| --- | ---: | ---: | ---: |")
    for name, part in CUTS.items():
        documents = [classifier.predict(_png(film, part), "film.png") for film in healthy]
        called = [each for each in documents if each["finding"] == "pneumonia"]
        unlike = sum(_is_unlike(each) for each in called)
        print(f"| {name} | {sum(each['refusal'] is not None for each in documents)} | {len(called)} | {unlike} |")


def _png(film: Image.Image, part: tuple[float, float, float, float]) -> bytes:
    left, top, right, bottom = part
    box = (round(left * film.width), round(top * film.height), round(right * film.width), round(bottom * film.height))
    file = io.BytesIO()
    film.crop(box).save(file, "PNG")
    return file.getvalue()


def _is_unlike(document: Prediction) -> bool:
    return any(caution["code"] == "unlike_training" for caution in document["cautions"])


if __name__ == "__main__":
    main()
