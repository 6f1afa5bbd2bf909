"""The attribution of a data set is that in the file beside it."""

from pathlib import Path

import pytest

from model.data import attribution, publishers
from model.data.attribution import SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_the_text_of_a_fetched_data_set_is_its_name(tmp_path: Path, name: str) -> None:
    publishers.write_source(tmp_path / "SOURCE.txt", name)
    assert attribution.of_data(tmp_path) == name
    publishers.write_source(tmp_path / "set_64.source.txt", name)
    assert attribution.of_data(tmp_path / "set_64.npz") == name


def test_another_text_is_the_attribution(tmp_path: Path) -> None:
    (tmp_path / "SOURCE.txt").write_text("Films of our hospital,\n  2020 to 2024.\n")
    text = "Films of our hospital, 2020 to 2024."
    assert attribution.of_data(tmp_path) == attribution.of_data(tmp_path / "manifest.csv") == text
    (tmp_path / "other.source.txt").write_text("Others")
    assert attribution.of_data(tmp_path / "other.csv") == "Others"


def test_data_without_such_a_text_has_no_attribution(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a.npz", tmp_path / "manifest.csv", tmp_path / "missing"):
        assert attribution.of_data(path) == ""
    (tmp_path / "SOURCE.txt").mkdir()
    assert attribution.of_data(tmp_path) == ""


def test_a_text_of_any_bytes_is_read(tmp_path: Path) -> None:
    (tmp_path / "SOURCE.txt").write_bytes(b"Films\xff\x1b[2K\x00 of us")
    assert attribution.of_data(tmp_path) == "Films\ufffd [2K of us"
    (tmp_path / "SOURCE.txt").write_text("a" * 10_000)
    assert len(attribution.of_data(tmp_path)) == attribution.LONGEST
