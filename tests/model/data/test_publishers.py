"""The published data sets: their addresses, and archives that are unpacked completely and safely or not at all."""

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model import fetch, phantom
from model.data import attribution, dataset, publishers
from model.data.download import Download
from model.data.partial_file import FetchError
from model.files import file_digest

PLACES = ("train/NORMAL/IM-1-0001.jpeg", "train/PNEUMONIA/person1_virus_1.jpeg", "test/NORMAL/IM-2-0001.jpeg")


def archive(path: Path, members: dict[str, bytes], **extra: object) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = extra.get(name, 0o644 << 16)
            target.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_size_is_a_file_of_the_publishers_record() -> None:
    names = {28: "pneumoniamnist", 64: "pneumoniamnist_64", 128: "pneumoniamnist_128", 224: "pneumoniamnist_224"}
    for size in publishers.SIZES:
        wanted = publishers.pneumoniamnist(size)
        assert wanted.address == f"https://zenodo.org/records/10519652/files/{names[size]}.npz?download=1"
        assert wanted.name == f"{names[size]}.npz"
        assert wanted.algorithm == "md5" and len(bytes.fromhex(wanted.checksum)) == 16
    assert len({publishers.pneumoniamnist(size).checksum for size in publishers.SIZES}) == 4


def test_kermany_is_downloaded_from_mendeley_with_a_checksum() -> None:
    wanted = publishers.KERMANY
    assert wanted.address.startswith("https://data.mendeley.com/") and "rscbjbr9sj" in wanted.address
    assert wanted.algorithm == "sha256" and len(bytes.fromhex(wanted.checksum)) == 32


def test_the_published_checksum_is_that_of_the_real_file(data_root: Path) -> None:
    path = data_root / "pneumoniamnist" / "pneumoniamnist.npz"
    wanted = publishers.pneumoniamnist(28)
    assert file_digest(path, wanted.algorithm) == wanted.checksum
    assert path.stat().st_size == wanted.size


def test_another_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="28, 64, 128, 224, not 100"):
        publishers.fetch_pneumoniamnist(100, tmp_path)


def test_an_archive_is_unpacked_however_deep_and_without_junk(tmp_path: Path) -> None:
    junk = {
        "__MACOSX/chest_xray/train/NORMAL/._IM-1-0001.jpeg": b"fork",
        "chest_xray/train/NORMAL/.DS_Store": b"store",
        "chest_xray/train/NORMAL/._IM-9.jpeg": b"fork",
        "chest_xray/train/NORMAL/notes.txt": b"notes",
        "chest_xray/readme.jpeg": b"elsewhere",
        "chest_xray/train/": b"",
    }
    members = {f"ChestXRay2017/chest_xray/{name}": name.encode() for name in PLACES}
    progress: list[tuple] = []
    made = archive(tmp_path / "a.zip", members | junk)
    publishers.unpack(made, tmp_path / "kermany", lambda *one: progress.append(one))
    assert files(tmp_path / "kermany") == {*PLACES, "SOURCE.txt"}
    assert (tmp_path / "kermany" / PLACES[1]).read_bytes() == PLACES[1].encode()
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert "10.17632/rscbjbr9sj" in (tmp_path / "kermany" / "SOURCE.txt").read_text()
    assert attribution.of_data(tmp_path / "kermany") == "kermany"
    assert files(tmp_path) == {"a.zip", *(f"kermany/{name}" for name in (*PLACES, "SOURCE.txt"))}


@pytest.mark.parametrize(
    "name",
    [
        "../../train/NORMAL/evil.jpeg",
        "train/NORMAL/../../../evil.jpeg",
        "/train/NORMAL/evil.jpeg",
        "train/NORMAL/..\\..\\evil.jpeg",
        "../evil.txt",
    ],
)
def test_an_archive_that_names_places_outside_is_refused_whole(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    made = archive(tmp_path / "a.zip", {PLACES[0]: b"good", name: b"evil"})
    with pytest.raises(FetchError, match="contains a path outside"):
        publishers.unpack(made, folder / "kermany")
    assert files(tmp_path) == {"a.zip"} and not list(folder.iterdir())


def test_a_link_is_refused(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.zip", {PLACES[0]: b"/etc/passwd"}, **{PLACES[0]: 0o120777 << 16})
    with pytest.raises(FetchError, match="link"):
        publishers.unpack(made, tmp_path / "kermany")
    assert files(tmp_path) == {"a.zip"}


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.zip", {f"a/{PLACES[0]}": b"1", f"b/{PLACES[0]}": b"2"})
    with pytest.raises(FetchError, match="two pictures"):
        publishers.unpack(made, tmp_path / "kermany")


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "a.zip", {name: bytes(100_000) for name in PLACES})
    monkeypatch.setattr(publishers, "MAX_UNPACKED_BYTES", 299_999)
    with pytest.raises(FetchError, match="would unpack to 300,000 bytes"):
        publishers.unpack(made, tmp_path / "kermany")
    assert files(tmp_path) == {"a.zip"}


def test_a_member_never_grows_past_what_it_declares(tmp_path: Path) -> None:
    """A directory entry with a wrong size: no more than the declared size is written, or it is an error."""
    made = archive(tmp_path / "a.zip", {PLACES[0]: bytes(100_000)})
    raw = made.read_bytes()
    lying = raw.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != raw
    made.write_bytes(lying)
    with pytest.raises(FetchError, match="damaged"):
        publishers.unpack(made, tmp_path / "kermany")
    assert files(tmp_path) == {"a.zip"}


@pytest.mark.parametrize("damage", ["no zip", "cut", "flipped"])
def test_a_damaged_archive_leaves_nothing(tmp_path: Path, damage: str) -> None:
    dice = np.random.default_rng(1)
    made = archive(tmp_path / "a.zip", {name: dice.bytes(5000) for name in PLACES})
    content = bytearray(made.read_bytes())
    content[8000] ^= 255
    made.write_bytes({"no zip": b"<html>", "cut": bytes(content[:9000]), "flipped": bytes(content)}[damage])
    with pytest.raises(FetchError, match="damaged"):
        publishers.unpack(made, tmp_path / "kermany")
    assert files(tmp_path) == {"a.zip"}


def test_another_archive_is_reported(tmp_path: Path) -> None:
    made = archive(tmp_path / "a.zip", {"OCT/CNV/1.jpeg": b"retina"})
    with pytest.raises(FetchError, match="no train/ and test/"):
        publishers.unpack(made, tmp_path / "kermany")


def test_too_little_disk_space_is_reported_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "a.zip", {name: bytes(1000) for name in PLACES})
    monkeypatch.setattr("model.data.publishers.shutil.disk_usage", lambda _: type("Usage", (), {"free": 2999}))
    with pytest.raises(FetchError, match="3,000 bytes are needed, 2,999 are free"):
        publishers.unpack(made, tmp_path / "kermany")
    assert files(tmp_path) == {"a.zip"}


def test_a_killed_unpacking_is_repaired_by_the_next_run(tmp_path: Path) -> None:
    """The partial folder of a killed process is no data set, and the next call removes it."""
    made = archive(tmp_path / "ChestXRay2017.zip", dict.fromkeys(PLACES, b"x"))
    left = tmp_path / ".kermany.part" / "train" / "NORMAL"
    left.mkdir(parents=True)
    (left / "old.jpeg").write_bytes(b"half")
    source = Download(made.name, "http://unused.invalid", "sha256", file_digest(made, "sha256"))
    folder = publishers.fetch_kermany(tmp_path, archive=source)
    assert files(folder) == {*PLACES, "SOURCE.txt"} and not left.exists()
    made.unlink()
    assert publishers.fetch_kermany(tmp_path, archive=source) == folder  # complete: no request is sent


def test_what_was_unpacked_can_be_loaded(tmp_path: Path) -> None:
    phantom.tree(tmp_path / "drawn", 4, seed=1)
    drawn = {f"chest_xray/{name}": (tmp_path / "drawn" / name).read_bytes() for name in files(tmp_path / "drawn")}
    publishers.unpack(archive(tmp_path / "a.zip", drawn), tmp_path / "kermany")
    expected, loaded = dataset.load(tmp_path / "drawn"), dataset.load(tmp_path / "kermany")
    assert loaded.manifest_sha256 == expected.manifest_sha256 and loaded.counts() == expected.counts()


def served(directory: Path, name: str, content: bytes) -> Download:
    """A download whose file is there already: no server is asked."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)
    return Download(name, "http://unused.invalid", "sha256", hashlib.sha256(content).hexdigest())


def test_the_command_prints_the_path_and_names_the_source(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(publishers, "pneumoniamnist", lambda size: served(tmp_path, f"{size}.npz", b"pictures"))
    assert fetch.main(["pneumoniamnist", "--size", "64", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "64.npz")
    assert "MedMNIST" in (tmp_path / "64.source.txt").read_text()
    assert attribution.of_data(tmp_path / "64.npz") == "pneumoniamnist"


def test_the_command_reports_the_failure_and_the_next_step(tmp_path: Path, monkeypatch, capsys) -> None:
    wrong = served(tmp_path, "28.npz", b"pictures")
    (tmp_path / "28.npz").write_bytes(b"others")
    monkeypatch.setattr(publishers, "pneumoniamnist", lambda size: wrong)
    assert fetch.main(["pneumoniamnist", "--to", str(tmp_path)]) == 1
    streams = capsys.readouterr()
    assert streams.out == "" and "error: " in streams.err and "\n  next: " in streams.err


def test_progress_prints_a_line_for_each_tenth(capsys: pytest.CaptureFixture) -> None:
    progress = fetch._PrintedProgress("bytes")
    for done in range(0, 1001, 8):
        progress(done, 1000)
    progress(5, None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[0].endswith("of 1,000 bytes")


def test_fetching_needs_no_numpy() -> None:
    """The operator's command line has urllib3 alone."""
    code = (
        "import sys, model.data.publishers, model.data.download;"
        "assert not {'numpy', 'PIL', 'urllib3'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_zip_members_keep_their_bytes(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr(PLACES[0], content)
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    publishers.unpack(tmp_path / "a.zip", tmp_path / "kermany")
    assert (tmp_path / "kermany" / PLACES[0]).read_bytes() == content
