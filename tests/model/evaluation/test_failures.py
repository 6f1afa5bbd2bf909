"""The most confident wrong findings: which they are, and that nothing in their picture names a patient."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.data.dataset import Sample
from model.data.sources import Entry
from model.evaluation import failures, report_plots
from tests.model.conftest import Films


def samples(folder: Path, labels: list[int]) -> list[Sample]:
    found = []
    for number, label in enumerate(labels):
        path = folder / f"Doe^Jane-{number}.png"
        phantom.draw(number, 300, bool(label)).save(path)
        entry = Entry(path, path.name, label, "test", "Doe^Jane", "")
        found.append(Sample(path.name, label, "Doe^Jane", "", "test", f"{number:064x}", "", entry))
    return found


def test_the_most_confident_come_first_by_kind(tmp_path: Path) -> None:
    labels = [1, 1, 1, 0, 0, 0]
    p = np.array([0.3, 0.1, 0.9, 0.6, 0.2, 0.95])
    refused = np.array([False, True, False, False, False, False])
    found = failures.find(samples(tmp_path, labels), p, refused, 0.5)
    assert (found["missed"]["n"], found["missed"]["of"]) == (2, 3)
    assert [entry["probability"] for entry in found["missed"]["shown"]] == [0.1, 0.3]
    assert found["missed"]["shown"][0] == {"sha256": f"{1:064x}", "probability": 0.1, "refused": True}
    assert [entry["probability"] for entry in found["false_alarms"]["shown"]] == [0.95, 0.6]
    assert "Doe" not in str(found)


def test_at_most_twelve_of_a_kind_are_shown(tmp_path: Path) -> None:
    many = samples(tmp_path, [1] * 20)
    found = failures.find(many, np.linspace(0, 0.4, 20), np.zeros(20, bool), 0.5)
    assert found["missed"]["n"] == 20 and len(found["missed"]["shown"]) == failures.MOST == 12


def test_the_picture_has_small_films_and_no_metadata(tmp_path: Path) -> None:
    many = samples(tmp_path, [1, 0, 1])
    found = failures.find(many, np.array([0.1, 0.9, 0.8]), np.zeros(3, bool), 0.5)
    path = tmp_path / "out.png"
    assert report_plots.failures(found, many, path)
    content = path.read_bytes()
    assert b"Doe" not in content and b"tEXt" not in content and b"eXIf" not in content
    none = failures.find(many, np.array([0.9, 0.1, 0.8]), np.zeros(3, bool), 0.5)
    assert not report_plots.failures(none, many, tmp_path / "none.png") and not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("stated", [{}, {"BurnedInAnnotation": "NO"}])
def test_a_film_is_shown_without_its_header(tmp_path: Path, stated: dict[str, Any]) -> None:
    assert thumbnail(tmp_path, stated) is not None


def test_a_film_with_burned_in_text_is_not_shown(tmp_path: Path) -> None:
    assert thumbnail(tmp_path, {"BurnedInAnnotation": "YES"}) is None


def thumbnail(folder: Path, stated: dict[str, Any]) -> Image.Image | None:
    path = folder / "film.dcm"
    path.write_bytes(Films.content(Films.make(np.asarray(phantom.draw(3, 400)), **stated)))
    entry = Entry(path, path.name, 1, "test", "", "")
    small = failures.thumbnail(Sample(path.name, 1, "", "", "test", "", "", entry))
    assert small is None or (max(small.size) == failures.SIDE and small.info == {})
    return small
