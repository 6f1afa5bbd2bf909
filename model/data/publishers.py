"""The public data sets: where they are, their archives and their checks."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from model.data.attribution import SOURCES
from model.data.download import USUAL, Download, Patience, Progress, fetch
from model.data.partial_file import FetchError

SIZES = (28, 64, 128, 224)


_ZENODO = "https://zenodo.org/records/10519652/files"


# MD5 as MedMNIST 3 publishes them in its package (medmnist/info.py).
_MNIST_MD5 = {
    28: "28209eda62fecd6e6a2d98b1501bb15f",
    64: "8f4eceb4ccffa70c672198ea285246c6",
    128: "05b46931834c231683c68f40c47b2971",
    224: "d6a3c71de1b945ea11211b03746c1fe1",
}


_MNIST_BYTES = {28: 4_170_669}  # the other sizes are not published; the checksum decides


# Version 2 of the record, the last one with the X-rays in an archive of their own. The publisher's page states no
# checksum; this one and the size are what several unrelated public projects state of their own downloads.
KERMANY = Download(
    name="ChestXRay2017.zip",
    address="https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
    "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
    algorithm="sha256",
    checksum="13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
    size=1_235_512_464,
)


KERMANY_FOLDER = "kermany"


_SPLITS, _LABELS = {"train", "val", "test"}, {"NORMAL", "PNEUMONIA"}


_SUFFIXES = {".jpeg", ".jpg", ".png"}


MOST_BYTES = 8_000_000_000  # unpacked; the published pictures take about a sixth of it


def pneumoniamnist(size: int) -> Download:
    """PneumoniaMNIST with pictures of `size` x `size` pixels, one of SIZES."""
    name = "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"
    return Download(name, f"{_ZENODO}/{name}?download=1", "md5", _MNIST_MD5[size], _MNIST_BYTES.get(size, 0))


def fetch_pneumoniamnist(
    size: int, directory: Path, progress: Progress = lambda *_: None, patience: Patience = USUAL
) -> Path:
    """Download PneumoniaMNIST into `directory`; returns the .npz. Raises FetchError, ValueError for another size."""
    if size not in SIZES:
        raise ValueError(f"PneumoniaMNIST has the sizes {', '.join(map(str, SIZES))}, not {size}")
    path = fetch(pneumoniamnist(size), directory, progress, patience)
    _name_source(path.with_name(f"{path.stem}.source.txt"), "pneumoniamnist")
    return path


def fetch_kermany(
    directory: Path,
    progress: Progress = lambda *_: None,
    unpacking: Progress = lambda *_: None,
    patience: Patience = USUAL,
    archive: Download = KERMANY,
) -> Path:
    """Download and unpack the Kermany X-rays; returns the folder with train/ and test/ x NORMAL/ and PNEUMONIA/.

    A folder that is there is whole, because it is renamed at the end: then nothing is done. The archive stays beside
    it. `progress` counts bytes, `unpacking` pictures. Raises FetchError.
    """
    folder = directory / KERMANY_FOLDER
    if folder.is_dir():
        return folder
    path = fetch(archive, directory, progress, patience)
    unpack(path, folder, unpacking)
    return folder


def unpack(archive: Path, folder: Path, progress: Progress = lambda *_: None) -> None:
    """Unpack the pictures SPLIT/LABEL/NAME of a zip, however deep they lie, into `folder`; all of them or nothing.

    What archives made on a Mac carry besides is left out. Raises FetchError for a damaged archive and for one that
    names places outside, links, two pictures of one name, or more than MOST_BYTES.
    """
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)  # of a killed process
    try:
        with zipfile.ZipFile(archive) as source:
            pictures = _pictures(source)
            _check_size(archive, folder.parent, [info for info, _ in pictures])
            for number, (info, place) in enumerate(pictures, start=1):
                target = beside / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(info) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                progress(number, len(pictures))
        _name_source(beside / "SOURCE.txt", "kermany")
        beside.replace(folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise FetchError(f"{archive} is damaged: {error}", "remove it and run the same command again") from error
    except OSError as error:
        raise FetchError(
            f"{folder} cannot be written: {error.strerror or error}", "make room and run the same command again"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _pictures(source: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Each picture of the archive and its place SPLIT/LABEL/NAME."""
    found: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in source.infolist():
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename:
            raise FetchError(f"the archive names a place outside: {info.filename!r}", "do not use it")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FetchError(f"the archive holds a link: {info.filename!r}", "do not use it")
        junk = "__MACOSX" in path.parts or path.name.startswith(".")
        if info.is_dir() or junk or path.suffix.lower() not in _SUFFIXES:
            continue
        place = PurePosixPath(*path.parts[-3:])
        if len(place.parts) != 3 or place.parts[0] not in _SPLITS or place.parts[1] not in _LABELS:
            continue
        if place in found:
            raise FetchError(f"the archive holds two pictures {place}", "do not use it")
        found[place] = info
    if not found:
        raise FetchError("the archive holds no train/ and test/ with NORMAL/ and PNEUMONIA/", "is it the right one?")
    return [(info, place) for place, info in found.items()]


def _check_size(archive: Path, directory: Path, infos: Sequence[zipfile.ZipInfo]) -> None:
    # zipfile itself stops reading a member at the size that it declares.
    needed, free = sum(info.file_size for info in infos), shutil.disk_usage(directory).free
    if needed > MOST_BYTES:
        raise FetchError(f"{archive} would unpack to {needed:,} bytes", "do not use it")
    if needed > free:
        raise OSError(None, f"{needed:,} bytes are needed there, {free:,} are free")


def _name_source(path: Path, key: str) -> None:
    path.write_text(SOURCES[key] + "\n", encoding="utf-8")
