"""Subgroups by header and by table."""

from pathlib import Path

import numpy as np
import pytest

from model.data.dataset import Sample
from model.data.sources import DataError, Entry
from model.evaluation.metrics import evaluate
from model.evaluation.subgroups import AGES, UNKNOWN, Row, age_group, figures, known, read_table
from model.images.dicom_header import Stated


def sample(name: str, label: int) -> Sample:
    entry = Entry(Path("films") / ("NORMAL", "PNEUMONIA")[label] / name, name, label, "test", name, "")
    return Sample(name, label, name, "", "test", "", "", entry)


SAMPLES = [sample(f"{number}.png", number % 2) for number in range(8)]
LABELS = np.array([each.label for each in SAMPLES])
P = np.array([0.1, 0.9, 0.6, 0.7, 0.2, 0.3, 0.4, 0.8])
REFUSED = np.array([True, *[False] * 7])
NOTHING = [Stated()] * 8


@pytest.mark.parametrize(
    ("ages", "group"),
    [
        ((), UNKNOWN),
        ((0,), "under 1"),
        ((0.9,), "under 1"),
        ((1, 5), "1 to 5"),
        ((5, 6), UNKNOWN),
        ((17,), "6 to 17"),
        ((64.9,), "18 to 64"),
        ((65,), "65 and older"),
        ((125,), "65 and older"),
    ],
)
def test_an_age_has_one_group(ages: tuple[float, ...], group: str) -> None:
    assert age_group(ages) == group


def test_the_groups_leave_no_age_out() -> None:
    bounds = list(AGES.values())
    assert bounds[0][0] == 0 and [low for low, _ in bounds[1:]] == [high for _, high in bounds[:-1]]


def test_headers_give_the_groups_and_what_they_lack_is_unknown() -> None:
    stated = [Stated((3,), "AP"), Stated((3,), "AP"), Stated((70,), "PA"), Stated((70,), "PA"), *NOTHING[:4]]
    found = figures(SAMPLES, stated, P, REFUSED, 0.5)
    assert list(found["view"]) == ["AP", "PA", UNKNOWN] and list(found["age"]) == ["1 to 5", "65 and older", UNKNOWN]
    assert [group["n"] for group in found["view"].values()] == [2, 2, 4]
    assert [group["refused"] for group in found["view"].values()] == [1, 0, 0]
    pa = evaluate(LABELS[2:4], P[2:4], 0.5)
    assert found["view"]["PA"] == {name: pa[name] for name in found["view"]["PA"] if name != "refused"} | {"refused": 0}
    assert set(known(found)) == {"view", "age"}
    assert known(figures(SAMPLES, NOTHING, P, REFUSED, 0.5)) == {}


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text)
    return path


def test_a_table_completes_the_headers_and_a_contradiction_is_unknown(tmp_path: Path) -> None:
    rows = read_table(table(tmp_path, "file,view,age,sex\n0.png,ap,,M\n1.png,PA,70,F\n2.png,,0.5,\nother.png,AP,1,M\n"))
    assert rows["1.png"] == Row("PA", "65 and older") and rows["0.png"] == Row("AP", UNKNOWN)
    stated = [Stated((), "PA"), Stated((3,), None), *NOTHING[:6]]
    found = figures(SAMPLES, stated, P, REFUSED, 0.5, rows)
    assert {name: group["n"] for name, group in found["view"].items()} == {"PA": 1, UNKNOWN: 7}
    assert {name: group["n"] for name, group in found["age"].items()} == {"under 1": 1, UNKNOWN: 7}


def test_a_table_tells_equal_names_apart_by_their_folder(tmp_path: Path) -> None:
    twins = [sample("a.png", 0), sample("a.png", 1)]
    by_folder = read_table(table(tmp_path, "file,view\nNORMAL/a.png,AP\nPNEUMONIA/a.png,PA\n"))
    found = figures(twins, NOTHING[:2], P[:2], REFUSED[:2], 0.5, by_folder)
    assert {name: group["positives"] for name, group in found["view"].items()} == {"AP": 0, "PA": 1}
    with pytest.raises(DataError, match="several pictures"):
        figures(twins, NOTHING[:2], P[:2], REFUSED[:2], 0.5, read_table(table(tmp_path, "file,view\na.png,AP\n")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,sex\na.png,M\n", "it needs the column file"),
        ("name,view\na.png,AP\n", "it needs the column file"),
        ("", "it needs the column file"),
        ("file,view\na.png,LATERAL\n", "line 2: view must be AP, PA or empty"),
        ("file,age\na.png,old\n", "line 2: age must be a number"),
        ("file,age\na.png,-1\n", "line 2: age must be a number"),
        ("file,age\na.png,nan\n", "line 2: age must be a number"),
        ("file,age\na.png,3\na.png,70\n", "line 3: this file is there before"),
    ],
)
def test_a_table_that_means_nothing_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_table(table(tmp_path, text))


def test_a_table_of_other_pictures_or_none_is_an_error(tmp_path: Path) -> None:
    rows = read_table(table(tmp_path, "file,view\nother.png,AP\n"))
    with pytest.raises(DataError, match="none of these pictures"):
        figures(SAMPLES, NOTHING, P, REFUSED, 0.5, rows)
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00file")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "binary.csv")


def test_the_groups_of_public_films_of_adults(data_root: Path) -> None:
    """NIH's own list of its films: 131 AP and 109 PA views."""
    folder = data_root / "external" / "nih_dev"
    rows = read_table(folder / "metadata.csv")
    paths = sorted(path for name in ("NORMAL", "PNEUMONIA") for path in (folder / name).iterdir())
    films = [sample(path.name, int(path.parent.name == "PNEUMONIA")) for path in paths]
    n = len(films)
    found = figures(films, [Stated()] * n, np.full(n, 0.5), np.zeros(n, bool), 0.5, rows)
    assert {name: group["n"] for name, group in found["view"].items()} == {"AP": 131, "PA": 109}
    assert set(found["age"]) == {"18 to 64", "65 and older"}
