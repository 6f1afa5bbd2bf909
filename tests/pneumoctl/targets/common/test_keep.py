"""What a killed export left is removed; a complete export never is."""

from pathlib import Path

import pytest

from pneumoctl.stack.stack import exports, find
from pneumoctl.targets.common import keep

KILLED, COMPLETE = "t-20260102T030405Z", "t-20260102T030406Z"


def test_only_parts_of_an_export_of_this_stack_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    keep.remove_interrupted(find("t"))  # without any export, too
    for name in (
        f"{KILLED}/.results.partial",
        f"{KILLED}/.results.folder/images/1.jpg",
        f"{COMPLETE}/.results.partial",
        f"{COMPLETE}/results/manifest.json",
        "t-2-20260102T030405Z/.results.partial",
        "t-mine/.results.partial",
    ):
        file = exports() / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (exports() / "t-20260102T030407Z").mkdir()
    keep.remove_interrupted(find("t"))
    assert sorted(path.name for path in exports().iterdir()) == ["t-2-20260102T030405Z", COMPLETE, "t-mine"]


def test_the_folder_of_the_results_is_named_first() -> None:
    folder, results = Path("/x/t"), Path("/x/t/results")
    lines = ["exported 3 results to /x/t/results", "the whole export is in /x/t"]
    assert keep.exported_lines(folder, results, "3 results") == lines
    assert keep.exported_lines(folder, None, "") == lines[1:] and keep.exported_lines(None, None, "") == []
    assert keep.exported_document(folder, results) == {"exported": results, "exported_folder": folder}
