"""The classifier of the tiny bundle."""

from pathlib import Path

import pytest

from model.serving.predict import Classifier


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    return Classifier.open(tiny_bundle, threads=1)
