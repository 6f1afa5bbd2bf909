"""The folder that the tests of the upload send."""

from pathlib import Path

from model import phantom

FILMS = 24


def make_folder(directory: Path) -> Path:
    """Nested folders: films, one under two names, one of the same name elsewhere, damaged and large files, no films."""
    ward = directory / "ward"
    (ward / "a" / "deep").mkdir(parents=True)
    (ward / "empty").mkdir()
    for number in range(FILMS):
        below = ward / ("a", "a/deep")[number % 2]
        (below / f"film {number:02}.png").write_bytes(phantom.png(300 + number, 192, opacity=number % 2 == 0))
    whole = (ward / "a" / "film 00.png").read_bytes()
    (ward / "a" / "copy.png").write_bytes(whole)
    (ward / "film 00.png").write_bytes(whole)
    for number in range(10):
        (ward / f"damaged {number}.png").write_bytes(whole[: 1000 + 100 * number])
    (ward / "text.png").write_text("no picture")
    (ward / "nothing.png").write_bytes(b"")
    (ward / "large.dcm").write_bytes(b"x" * 26 * 1024 * 1024)
    (ward / "no suffix").write_bytes(phantom.png(350, 192, opacity=True))
    for name in (".DS_Store", "list.txt"):
        (ward / name).write_bytes(b"x")
    return ward


def sent_paths(folder: Path) -> set[str]:
    """The paths of the files that are pictures by name or content, as the page shows them."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name not in (".DS_Store", "list.txt"))
    return {str(file.relative_to(folder.parent)) for file in files}
