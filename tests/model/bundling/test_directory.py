"""A bundle appears when its directory is complete, and until then an earlier one stays."""

from pathlib import Path

import pytest

from model.bundling.directory import new_directory

MANIFEST = "bundle.json"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    directory.mkdir()
    (directory / MANIFEST).write_text("old")
    return directory


def left(bundle: Path) -> tuple[list[str], str]:
    """What lies in the folder of the bundle, and what the bundle is."""
    return [path.name for path in bundle.parent.iterdir()], (bundle / MANIFEST).read_text()


def test_a_bundle_is_replaced_by_a_complete_one(bundle: Path) -> None:
    with new_directory(bundle, replace=True) as work:
        (work / MANIFEST).write_text("new")
        assert (bundle / MANIFEST).read_text() == "old"
    assert left(bundle) == (["bundle"], "new")


def test_without_replace_it_stays(bundle: Path) -> None:
    with pytest.raises(FileExistsError, match="already exists"), new_directory(bundle, replace=False):
        pass
    assert left(bundle) == (["bundle"], "old")


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_after_a_failure_in_the_block_it_stays(bundle: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), new_directory(bundle, replace=True):
        raise error
    assert left(bundle) == (["bundle"], "old")


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_after_a_failure_to_replace_it_stays(
    bundle: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace

    def fail(source: Path, target: Path) -> Path:
        if source.name == ".bundle.part":
            raise error
        return rename(source, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(type(error)), new_directory(bundle, replace=True) as work:
        (work / MANIFEST).write_text("new")
    assert left(bundle) == (["bundle"], "old")
