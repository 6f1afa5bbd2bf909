"""The public data sets: their addresses and checksums, and how their archives are unpacked."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from model.data.attribution import SOURCE_FILE, SOURCES, source_file
from model.data.download import DEFAULT_POLICY, Download, Progress, RetryPolicy, fetch
from model.data.partial_file import FetchError
from model.images.limits import SUFFIXES

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

# Version 2 of the record, the last one with the X-rays in a separate archive. The publisher states no checksum; this
# checksum and the size are stated by several unrelated public projects.
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
MAX_UNPACKED_BYTES = 8_000_000_000  # about six times the published pictures


def pneumoniamnist(size: int) -> Download:
    """PneumoniaMNIST with pictures of `size` x `size` pixels; `size` is one of SIZES."""
    name = "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"
    return Download(name, f"{_ZENODO}/{name}?download=1", "md5", _MNIST_MD5[size], _MNIST_BYTES.get(size, 0))


def fetch_pneumoniamnist(
    size: int, directory: Path, progress: Progress = lambda *_: None, policy: RetryPolicy = DEFAULT_POLICY
) -> Path:
    """Download PneumoniaMNIST into `directory`; returns the .npz. Raises FetchError, ValueError for another size."""
    if size not in SIZES:
        raise ValueError(f"PneumoniaMNIST has the sizes {', '.join(map(str, SIZES))}, not {size}")
    path = fetch(pneumoniamnist(size), directory, progress, policy)
    write_source(source_file(path), "pneumoniamnist")
    return path


def fetch_kermany(
    directory: Path,
    progress: Progress = lambda *_: None,
    unpacking: Progress = lambda *_: None,
    policy: RetryPolicy = DEFAULT_POLICY,
    archive: Download = KERMANY,
) -> Path:
    """Download and unpack the Kermany X-rays; returns the folder with train/ and test/ x NORMAL/ and PNEUMONIA/.

    An existing folder is complete, because it is renamed at the end, and is left unchanged. The archive is kept beside
    it. `progress` counts bytes, `unpacking` pictures. Raises FetchError.
    """
    folder = directory / KERMANY_FOLDER
    if folder.is_dir():
        return folder
    path = fetch(archive, directory, progress, policy)
    unpack(path, folder, unpacking)
    return folder


def unpack(archive: Path, folder: Path, progress: Progress = lambda *_: None) -> None:
    """Unpack the pictures SPLIT/LABEL/NAME of a zip, at any depth, into `folder`; all of them or none.

    The extra files of archives made on macOS are skipped. Raises FetchError for a damaged archive, and for one with
    paths outside, links, two pictures of the same name, or more than MAX_UNPACKED_BYTES.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process
    try:
        with zipfile.ZipFile(archive) as source:
            pictures = _pictures(source)
            _check_size(archive, folder.parent, [info for info, _ in pictures])
            for number, (info, path) in enumerate(pictures, start=1):
                target = temporary / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(info) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                progress(number, len(pictures))
        write_source(temporary / SOURCE_FILE, "kermany")
        temporary.replace(folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise FetchError(f"{archive} is damaged: {error}", "remove it and run the same command again") from error
    except OSError as error:
        raise FetchError(
            f"{folder} cannot be written: {error.strerror or error}", "free some space and run the same command again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _pictures(source: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The pictures of the archive, each with its path SPLIT/LABEL/NAME."""
    pictures: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in source.infolist():
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename:
            raise FetchError(f"the archive contains a path outside of it: {info.filename!r}", "do not use it")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise FetchError(f"the archive contains a link: {info.filename!r}", "do not use it")
        junk = "__MACOSX" in path.parts or path.name.startswith(".")
        if info.is_dir() or junk or path.suffix.lower() not in SUFFIXES:
            continue
        short = PurePosixPath(*path.parts[-3:])
        if len(short.parts) != 3 or short.parts[0] not in _SPLITS or short.parts[1] not in _LABELS:
            continue
        if short in pictures:
            raise FetchError(f"the archive contains two pictures {short}", "do not use it")
        pictures[short] = info
    if not pictures:
        raise FetchError("the archive contains no train/ and test/ with NORMAL/ and PNEUMONIA/", "is it the right one?")
    return [(info, path) for path, info in pictures.items()]


def _check_size(archive: Path, directory: Path, infos: Sequence[zipfile.ZipInfo]) -> None:
    # zipfile reads no more of a member than its declared size.
    needed, free = sum(info.file_size for info in infos), shutil.disk_usage(directory).free
    if needed > MAX_UNPACKED_BYTES:
        raise FetchError(f"{archive} would unpack to {needed:,} bytes", "do not use it")
    if needed > free:
        raise OSError(None, f"{needed:,} bytes are needed, {free:,} are free")


def write_source(path: Path, key: str) -> None:
    """Write the attribution of a data set of SOURCES."""
    path.write_text(SOURCES[key] + "\n", encoding="utf-8")
