"""The three kinds of source list the same facts; what cannot be read is named."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from model import phantom
from model.data import sources
from model.data.sources import DataError, entries, identity, read


@pytest.mark.parametrize(
    ("name", "label", "wanted"),
    [
        ("person12_bacteria_34.jpeg", 1, ("person12", "bacteria")),
        ("person1159_virus_1944.jpeg", 1, ("person1159", "virus")),
        ("person447_virus_921_1.jpeg", 1, ("person447", "virus")),
        ("Person3_Virus_1.png", 1, ("person3", "virus")),
        ("IM-0117-0001.jpeg", 0, ("IM-0117", "normal")),
        ("NORMAL2-IM-0117-0001.jpeg", 0, ("NORMAL2-IM-0117", "normal")),
        ("NORMAL2-IM-0587-0001-0002.jpeg", 0, ("NORMAL2-IM-0587", "normal")),
        ("scan.png", 1, ("scan", "pneumonia")),
        ("person12_fungus_1.jpeg", 1, ("person12_fungus_1", "pneumonia")),
    ],
)
def test_the_patient_is_derived_from_the_name(name: str, label: int, wanted: tuple[str, str]) -> None:
    assert identity(name, label) == wanted


def picture_at(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(phantom.png(seed, 64, False))
    return path


def test_a_folder_tree_counts_the_official_val_as_train(tmp_path: Path) -> None:
    for number, folder in enumerate(("train/NORMAL", "val/PNEUMONIA", "test/NORMAL")):
        picture_at(tmp_path / folder / f"IM-{number:04d}-0001.png", number)
    picture_at(tmp_path / "train" / "NORMAL" / "._IM-0000-0001.png")
    (tmp_path / "train" / "NORMAL" / "readme.txt").write_text("no picture")
    (tmp_path / "notes").mkdir()
    assert [(entry.split, entry.label) for entry in entries(tmp_path)] == [("test", 0), ("train", 0), ("train", 1)]


def test_an_unknown_label_folder_is_refused(tmp_path: Path) -> None:
    picture_at(tmp_path / "train" / "COVID" / "a.png")
    with pytest.raises(DataError, match="COVID: unknown label"):
        entries(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "data.tar", "empty"])
def test_a_source_without_pictures_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "data.tar").write_bytes(b"")
    with pytest.raises(DataError, match="train/"):
        entries(tmp_path / name)


def write_csv(path: Path, *rows: str) -> Path:
    path.write_text("split,label,file,patient_id,subtype,sha256\n" + "\n".join(rows) + "\n")
    return path


def test_a_manifest_finds_files_by_split_and_label_or_beside_itself(tmp_path: Path) -> None:
    near = picture_at(tmp_path / "train" / "NORMAL" / "a.png")
    picture_at(tmp_path / "pictures" / "person7_virus_1.png", 2)
    digest = hashlib.sha256(near.read_bytes()).hexdigest()
    manifest = write_csv(
        tmp_path / "m.csv", f"train,NORMAL,a.png,someone,,{digest}", "val,1,pictures/person7_virus_1.png,,,"
    )
    first, second = entries(manifest)
    assert (first.patient, first.subtype, first.sha256) == ("someone", "normal", digest)
    assert (second.patient, second.subtype, second.split, second.label) == ("person7", "virus", "train", 1)
    assert read(first)[1] == digest


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ("train,NORMAL,lost.png,,,", "line 2: there is no file"),
        ("dev,NORMAL,a.png,,,", "line 2: split must be"),
        ("train,MAYBE,a.png,,,", "line 2: split must be"),
    ],
)
def test_a_bad_manifest_line_is_named(tmp_path: Path, row: str, wanted: str) -> None:
    picture_at(tmp_path / "a.png")
    with pytest.raises(DataError, match=wanted):
        entries(write_csv(tmp_path / "m.csv", row))


def test_a_manifest_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,class\na.png,0\n")
    with pytest.raises(DataError, match="file, label, split"):
        entries(tmp_path / "m.csv")


def test_a_file_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path) -> None:
    picture_at(tmp_path / "a.png")
    (entry,) = entries(write_csv(tmp_path / "m.csv", f"train,NORMAL,a.png,,,{'0' * 64}"))
    with pytest.raises(DataError, match="sha256 differs from the manifest"):
        read(entry)


def test_an_unreadable_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = picture_at(tmp_path / "train" / "NORMAL" / "a.png")
    (entry,) = entries(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"a\.png: .*remove it"):
        read(entry)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png: No such file"):
        read(entry)


def npz(path: Path, **changes: np.ndarray) -> Path:
    random = np.random.default_rng(3)
    arrays = {}
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{split}_images"] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, np.newaxis]
    np.savez(path, **{**arrays, **changes})
    return path


def test_medmnist_pictures_are_patients_of_their_own(tmp_path: Path) -> None:
    path = npz(tmp_path / "p.npz")
    listed = entries(path)
    assert [entry.split for entry in listed] == ["train"] * 6 + ["test"] * 2
    assert len({entry.patient for entry in listed}) == 8
    picture, digest = read(listed[5])
    with np.load(path) as archive:
        pixels = archive["val_images"][1]
    assert np.array_equal(np.asarray(picture.grey), pixels)
    assert digest == hashlib.sha256(pixels.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"val_images": np.zeros((2, 28, 28, 3), np.uint8)}, "must be uint8"),
        ({"val_images": np.zeros((3, 28, 28), np.uint8)}, "with one label per picture"),
        ({"val_labels": np.array([[0], [7]], np.uint8)}, "is this PneumoniaMNIST"),
    ],
)
def test_another_medmnist_set_is_refused(tmp_path: Path, changes: dict[str, np.ndarray], wanted: str) -> None:
    with pytest.raises(DataError, match=wanted):
        entries(npz(tmp_path / "p.npz", **changes))


def test_a_damaged_npz_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path / "p.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged"):
        entries(path)
    np.savez(tmp_path / "q.npz", a=np.zeros(1))
    with pytest.raises(DataError, match="has no array train_labels"):
        entries(tmp_path / "q.npz")


def test_labels_and_names_agree() -> None:
    assert [sources.LABELS[name] for name in sources.LABEL_NAMES] == [0, 1]
