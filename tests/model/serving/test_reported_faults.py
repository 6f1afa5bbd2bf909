"""Files from public fault reports: each is refused, or scored as the whole film is."""

from pathlib import Path

import pytest

from model import bundle
from model.serving.predict import Classifier
from model.serving.prediction import Choices

NEAR = 0.05  # between the probabilities of two files with the same picture, one of them coded with loss


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(bundle.load(bundle.pretrained()), choices=Choices("score"))  # whatever the ages in the headers


def outcome(classifier: Classifier, path: Path) -> float | str:
    """The probability, or the code of the refusal."""
    document = classifier.predict(path.read_bytes(), path.name)
    if document["refusal"] is not None:
        assert document["finding"] is None and document["probability"] is None
        return document["refusal"]["code"]
    assert document["probability"] is not None
    return document["probability"]


def is_right(classifier: Classifier, folder: Path, name: str, expected: str) -> bool:
    """expected: `refused`, `refused:CODE`, `like:FILE` or `like-or-refused:FILE`."""
    kind, _, wanted = expected.partition(":")
    measured = outcome(classifier, folder / name)
    if isinstance(measured, str):
        return kind == "like-or-refused" or (kind == "refused" and wanted in ("", measured))
    reference = outcome(classifier, folder / wanted) if kind.startswith("like") else "refused"
    return isinstance(reference, float) and abs(measured - reference) < NEAR


def test_every_reported_file_is_refused_or_scored_as_the_whole_film(classifier: Classifier, data_root: Path) -> None:
    folder = data_root / "faults"
    rows = [line.split("\t")[:2] for line in (folder / "expected.tsv").read_text().splitlines()[1:]]
    wrong = {name for name, expected in rows if not is_right(classifier, folder, name, expected)}
    assert len(rows) >= 50 and wrong == set()
