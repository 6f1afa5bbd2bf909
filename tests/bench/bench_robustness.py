"""Compare two bundles on altered validation films: the mean AUC over corruptions, and that over drawn shifted copies.

`python -m tests.bench.bench_robustness DATA --bundle NEW --than OLD`. DATA is the data that both were trained on, with
the same split. The corruptions are those of model.evaluation.corruptions; the shifted copies (model.data.shifted) are
of seeds that chose nothing. Intervals of 95 % are of a bootstrap of the films, paired. Refused films are scored, too.
"""

import argparse
from pathlib import Path

import numpy as np

from model.data import dataset, shifted
from model.data.dataset import Sample
from model.evaluation import corruptions
from model.images.decode import to_input
from model.serving.predict import Classifier
from model.settings import validation_cut

SEEDS = (2, 3, 4)  # of shifted copies, added to the seed of the split: 0 chose the epoch, 1 the thresholds
RESAMPLES = 4000


def logits(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """float64 [...] for uint8 [..., height, width, 1]."""
    flat = pixels.reshape(-1, *pixels.shape[-3:])
    found = [classifier.logits(batch.astype(np.float32)) for batch in np.array_split(flat, len(flat) // 64 + 1)]
    return np.concatenate(found).astype(np.float64).reshape(pixels.shape[:-3])


def corrupted(classifiers: list[Classifier], samples: list[Sample]) -> np.ndarray:
    """The logits of each film after each corruption, float64 [classifier, film, corruption]."""
    size, rows = (classifiers[0].bundle.height, classifiers[0].bundle.width), []
    for number, sample in enumerate(samples):
        film = corruptions.reduced(dataset.read(sample))
        pixels = np.stack([to_input(copy, *size) for key, copy in corruptions.copies(film, number) if key[1]])
        rows.append([logits(classifier, pixels) for classifier in classifiers])
    return np.array(rows).transpose(1, 0, 2)


def comparisons(labels: np.ndarray, scores: np.ndarray, paired: bool) -> np.ndarray:
    """The share of copies of each film with pneumonia that score higher than those of each healthy film; ties half.

    scores: [film, copy]. paired: only equal copies are compared (the same corruption), else all. The mean of the
    result, float64 [ill films, healthy films], is the mean AUC.
    """
    ill, healthy = scores[labels == 1], scores[labels == 0]
    copies = range(scores.shape[1])
    pairs = [(first, second) for first in copies for second in ([first] if paired else copies)]
    total = np.zeros((len(ill), len(healthy)))
    for first, second in pairs:
        difference = ill[:, first, np.newaxis] - healthy[np.newaxis, :, second]
        total += (difference > 0) + 0.5 * (difference == 0)
    return total / len(pairs)


def interval(difference: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of a difference of two `comparisons`, by resampling films of either class."""
    rng = np.random.default_rng(0)
    ill, healthy = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in difference.shape)
    low, high = np.quantile(np.einsum("rh,rh->r", ill @ difference, healthy), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print one row of a table for each kind of alteration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--than", type=Path, required=True, help="the bundle to compare with")
    options = parser.parse_args()
    classifiers = [Classifier.open(options.bundle), Classifier.open(options.than)]
    share, seed = validation_cut(classifiers[0].bundle.manifest["settings"])
    samples = list(dataset.split(dataset.load(options.data), share, seed).part("validation"))
    labels = np.array([sample.label for sample in samples])
    found = corrupted(classifiers, samples)
    kinds = {"corruptions": [comparisons(labels, scores, paired=True) for scores in found]}
    size = classifiers[0].bundle.height, classifiers[0].bundle.width
    drawn = []
    for more in SEEDS:
        pixels = shifted.arrays(samples, *size, seed + more)[0].reshape(len(samples), shifted.DRAWS, *size, 1)
        drawn.append([comparisons(labels, logits(classifier, pixels), paired=False) for classifier in classifiers])
    kinds["shifted copies"] = list(np.mean(drawn, axis=0))
    kinds["mean of both"] = list(np.mean([kinds["corruptions"], kinds["shifted copies"]], axis=0))
    names = " | ".join(f"{classifier.bundle.name} {classifier.bundle.version}" for classifier in classifiers)
    print(f"{len(samples)} films of validation\n| mean AUC | {names} | difference |\n| --- | ---: | ---: | ---: |")
    for name, (new, old) in kinds.items():
        low, high = interval(new - old)
        print(
            f"| {name} | {new.mean():.4f} | {old.mean():.4f} | {(new - old).mean():+.4f} ({low:+.4f} to {high:+.4f}) |"
        )
    for number, kind in enumerate(corruptions.KINDS):
        at = slice(len(corruptions.SEVERITIES) * number, len(corruptions.SEVERITIES) * (number + 1))
        new, old = (comparisons(labels, scores[:, at], paired=True).mean() for scores in found)
        print(f"| {kind} | {new:.4f} | {old:.4f} | {new - old:+.4f} |")


if __name__ == "__main__":
    main()
