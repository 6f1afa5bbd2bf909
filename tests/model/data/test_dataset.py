"""Data sets: no picture and no patient is on both sides of a split; the validation split and the arrays are correct."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from model import phantom
from model.data import dataset as data
from model.data.dataset import DataError
from model.images.decode import to_input

FOLDERS = ("train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tree")
    phantom.tree(directory, patients=12, seed=5, size=64)
    return directory


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    """A copy of the tree that a test may change."""
    return Path(shutil.copytree(tree, tmp_path / "tree"))


def first(directory: Path, folder: str) -> Path:
    return sorted((directory / folder).iterdir())[0]


def test_every_picture_is_listed_with_its_facts(tree: Path) -> None:
    dataset = data.load(tree)
    files = list(tree.rglob("*.jpeg"))
    assert len(dataset.samples) == len(files) == sum(dataset.counts().values())
    assert dataset.name == tree.name
    assert {sample.label for sample in dataset.part("test")} == {0, 1}
    assert len({sample.sha256 for sample in dataset.samples}) == len(files)


def test_the_manifest_hash_depends_on_the_pictures_not_on_the_path(tree: Path, copy: Path) -> None:
    before = data.load(tree).manifest_sha256
    assert data.load(copy).manifest_sha256 == before
    first(copy, "train/NORMAL").unlink()
    assert data.load(copy).manifest_sha256 != before


def test_a_copy_within_train_is_dropped_and_counted(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = first(copy, "train/PNEUMONIA")
    before = data.load(copy)
    shutil.copy(path, path.with_name("person900_virus_1.jpeg"))
    with caplog.at_level(logging.WARNING):
        after = data.load(copy)
    assert after.dropped == 1
    assert after.counts() == before.counts()
    assert "1 duplicate" in caplog.text


def test_a_copy_within_test_stays_as_published(copy: Path) -> None:
    path = first(copy, "test/NORMAL")
    before = data.load(copy).counts()["test"]
    shutil.copy(path, path.with_name("IM-9000-0001.jpeg"))
    assert data.load(copy).counts()["test"] == before + 1


def test_equal_pixels_in_train_and_test_are_refused_though_the_bytes_differ(copy: Path) -> None:
    path = first(copy, "train/NORMAL")
    leak = copy / "test" / "NORMAL" / "IM-9000-0001.jpeg"
    leak.write_bytes(path.read_bytes() + b"\0")  # bytes after the end of a JPEG change no pixel
    with pytest.raises(DataError) as caught:
        data.load(copy)
    assert "1 equal pictures are in both train and test" in str(caught.value)
    assert path.name in str(caught.value)
    assert leak.name in str(caught.value)
    assert "remove them" in str(caught.value)


def test_a_patient_in_train_and_test_is_refused(copy: Path) -> None:
    for number, split in enumerate(("train", "test")):
        path = copy / split / "PNEUMONIA" / f"person77_virus_{number}.png"
        path.write_bytes(phantom.png(9000 + number, 64, True))
    with pytest.raises(DataError, match=r"1 patients are in both train and test: .*person77_virus"):
        data.load(copy)


def test_a_person_number_with_another_subtype_is_another_patient_in_the_official_splits(copy: Path) -> None:
    for number, (split, subtype) in enumerate((("train", "virus"), ("test", "bacteria"))):
        path = copy / split / "PNEUMONIA" / f"person77_{subtype}_{number}.png"
        path.write_bytes(phantom.png(9000 + number, 64, True))
    assert data.load(copy).counts()["test"] > 0


def test_the_error_counts_all_and_names_some(copy: Path) -> None:
    for number, path in enumerate(sorted((copy / "train" / "NORMAL").iterdir())[:8]):
        shutil.copy(path, copy / "test" / "NORMAL" / f"IM-9{number:03d}-0001.jpeg")
    with pytest.raises(DataError, match=r"8 equal pictures") as caught:
        data.load(copy)
    assert str(caught.value).count(" = ") == data.EXAMPLES
    assert "..." in str(caught.value)


def test_one_picture_under_both_labels_is_refused(copy: Path) -> None:
    path = first(copy, "train/NORMAL")
    shutil.copy(path, copy / "train" / "PNEUMONIA" / "person901_virus_1.jpeg")
    with pytest.raises(DataError, match="2 pictures are both NORMAL and PNEUMONIA"):
        data.load(copy)


def test_train_needs_both_classes(copy: Path) -> None:
    shutil.rmtree(copy / "train" / "PNEUMONIA")
    for look in (data.load, data.check):
        with pytest.raises(DataError, match="both NORMAL and PNEUMONIA"):
            look(copy)


def test_an_unreadable_picture_stops_the_load(copy: Path) -> None:
    path = first(copy, "train/NORMAL")
    path.write_bytes(b"not a picture")
    with pytest.raises(DataError, match=path.name):
        data.load(copy)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_patient_is_on_both_sides_of_the_validation_split(tree: Path, seed: int) -> None:
    whole = data.load(tree)
    cut = data.split(whole, 0.25, seed)
    people = [{sample.patient for sample in cut.part(part)} for part in ("train", "validation")]
    assert not people[0] & people[1]
    assert len(cut.part("train")) + len(cut.part("validation")) == len(whole.part("train"))
    assert {sample.label for sample in cut.part("validation")} == {0, 1}
    assert cut.part("test") == whole.part("test")
    assert cut.manifest_sha256 == whole.manifest_sha256


def test_a_person_number_with_two_subtypes_stays_on_one_side(copy: Path) -> None:
    for number in range(200, 212):
        for offset, subtype in enumerate(("virus", "bacteria")):
            path = copy / "train" / "PNEUMONIA" / f"person{number}_{subtype}_{number}.png"
            path.write_bytes(phantom.png(2 * number + offset, 64, True))
    for seed in range(5):
        cut = data.split(data.load(copy), 0.3, seed)
        held = {sample.patient for sample in cut.part("validation")}
        assert not held & {sample.patient for sample in cut.part("train")}


def test_the_cut_is_the_seeds(tree: Path) -> None:
    whole = data.load(tree)
    cuts = [{sample.name for sample in data.split(whole, 0.25, seed).part("validation")} for seed in (1, 1, 2)]
    assert cuts[0] == cuts[1]
    assert cuts[0] != cuts[2]


def test_equal_names_under_both_labels_are_distinguished(tmp_path: Path) -> None:
    number = 0
    for folder in FOLDERS:
        for name in "abcdefgh":
            number += 1
            path = tmp_path / folder / f"{folder[:2]}{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(phantom.png(number, 64, False))
    whole = data.load(tmp_path)
    cut = data.split(whole, 0.5, 1)
    assert sum(cut.counts().values()) == len(whole.samples)
    assert not {sample.patient for sample in cut.part("train")} & {s.patient for s in cut.part("validation")}


def test_too_few_patients_cannot_be_cut(tmp_path: Path) -> None:
    for number, folder in enumerate(FOLDERS):
        path = tmp_path / folder / f"p{number}.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(phantom.png(number, 64, False))
    for look in (data.check, lambda path: data.split(data.load(path), 0.2, 1)):
        with pytest.raises(DataError, match="at least two patients"):
            look(tmp_path)


def test_a_check_reads_no_picture_and_gives_the_name(copy: Path) -> None:
    first(copy, "train/NORMAL").write_bytes(b"no picture")
    assert data.check(copy) == "tree"


@pytest.mark.parametrize("content", [b"split,label,file\ntrain,NORMAL,\xff\n", b"split,label,file\n" + b"x" * 200_000])
def test_a_manifest_that_is_no_csv_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "films.csv").write_bytes(content)
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        data.check(tmp_path / "films.csv")


def test_arrays_are_what_serving_feeds_the_network(tree: Path) -> None:
    samples = data.load(tree).part("test")[:5]
    pixels, labels = data.arrays(samples, 40, 48)
    assert pixels.shape == (5, 40, 48, 1)
    assert pixels.dtype == np.uint8
    for row, sample in zip(pixels, samples, strict=True):
        assert np.array_equal(row.astype(np.float32), to_input(data.read(sample), 40, 48))
    assert labels.tolist() == [sample.label for sample in samples]


def test_the_real_set_has_no_leak_and_its_known_copies(data_root: Path) -> None:
    dataset = data.load(data_root / "kermany224")
    assert dataset.counts() == {"train": 5232 - 26, "validation": 0, "test": 624}
    assert dataset.dropped == 26
    cut = data.split(dataset, 0.12, 7)
    people = [{sample.patient for sample in cut.part(part)} for part in ("train", "validation")]
    assert not people[0] & people[1]
    shares = [np.mean([sample.label for sample in cut.part(part)]) for part in ("train", "validation")]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)
    listed = data.load(data_root / "kermany224" / "manifest.csv")
    assert listed.manifest_sha256 == dataset.manifest_sha256
    samples = {(sample.name, sample.patient, sample.subtype) for sample in dataset.samples}
    assert samples == {(sample.name, sample.patient, sample.subtype) for sample in listed.samples}


def test_the_real_medmnist_file_loads(data_root: Path) -> None:
    dataset = data.load(data_root / "pneumoniamnist" / "pneumoniamnist.npz")
    assert dataset.name == "pneumoniamnist"
    assert dataset.counts() == {"train": 5232 - 26, "validation": 0, "test": 624}
