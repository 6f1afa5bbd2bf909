"""A classifier with a pool of threads gives the same documents as one without."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.images import decode, refuse
from model.serving.predict import Classifier


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@pytest.mark.parametrize("opacity", [False, True])
def test_a_pool_gives_the_same_document(classifier: Classifier, pool: ThreadPoolExecutor, opacity: bool) -> None:
    content = phantom.png(9, 300, opacity=opacity)
    alone, _ = classifier.examine(content, "x.png")
    beside, _ = classifier.examine(content, "x.png", pool)
    assert (beside["id"], beside["probability"], beside["finding"]) == (
        alone["id"],
        alone["probability"],
        alone["finding"],
    )


@pytest.mark.parametrize("network", ["answers first", "fails", "answers last"])
def test_a_refusal_overrides_the_network(tiny_bundle: Path, pool, network: str, monkeypatch) -> None:
    classifier = Classifier.open(tiny_bundle, threads=1)
    check, turn = refuse.check, threading.Event()

    def probability(pixels: np.ndarray) -> float:
        if network == "answers last":
            assert turn.wait(120)
        turn.set()
        if network == "fails":
            raise ArithmeticError("the network gave no number")
        return 0.99

    def checked(picture: decode.Picture, block: dict, resized: Image.Image) -> refuse.Appearance:
        try:
            if network != "answers last":
                assert turn.wait(120)
            return check(picture, block, resized)
        finally:
            turn.set()

    monkeypatch.setattr(classifier, "_probability", probability)
    monkeypatch.setattr(refuse, "check", checked)
    file = BytesIO()
    Image.new("L", (300, 200), 120).save(file, "PNG")
    prediction, picture = classifier.examine(file.getvalue(), "blank.png", pool)
    assert prediction["refusal"]["code"] == "not_an_xray"
    assert prediction["finding"] is prediction["probability"] is None
    assert picture is not None


def test_a_network_without_a_number_is_an_error_in_a_pool_too(tiny_bundle: Path, pool, monkeypatch) -> None:
    classifier = Classifier.open(tiny_bundle, threads=1)
    monkeypatch.setattr(classifier, "logits", lambda pixels: np.array([np.nan], np.float32))
    with pytest.raises(ArithmeticError):
        classifier.examine(phantom.png(5, 256), "x.png", pool)
