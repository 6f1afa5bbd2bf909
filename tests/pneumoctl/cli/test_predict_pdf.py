"""`predict --pdf`: a report of each finding and refusal, and of no error."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from model import phantom
from pneumoctl import installation
from pneumoctl.errors import Exit
from tests.pneumoctl.scoring.pdf_texts import pages


def reports() -> dict[str, str]:
    """The text of each report by its name."""
    return {file.name: pages(file)[0] for file in Path("reports").iterdir()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a film, a file that is no picture, and a link to nothing."""
    monkeypatch.chdir(tmp_path)
    films = tmp_path / "films"
    films.mkdir()
    (films / "a.png").write_bytes(phantom.png(101, 256, True))
    (films / "b.png").write_bytes(b"broken")
    return films


def test_findings_and_refusals_are_reported(predict: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder / "a.png", folder / "b.png", folder / "none.png", "--pdf", "reports", "--json") == Exit.USAGE
    capsys.readouterr()
    assert predict(folder, "--pdf", "reports", "--json") == Exit.PARTLY
    found, refused = json.loads(capsys.readouterr().out)["predictions"]
    texts = reports()
    assert texts.keys() == {f"{found['id']}.pdf", f"{refused['id']}.pdf"}
    assert "Signs of pneumonia found by the model" in texts[f"{found['id']}.pdf"]
    assert "a.png" in texts[f"{found['id']}.pdf"] and str(folder) not in texts[f"{found['id']}.pdf"]
    assert "Not assessed" in texts[f"{refused['id']}.pdf"] and "could not be decoded" in texts[f"{refused['id']}.pdf"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in Path("reports").iterdir()} == {0o600}
    before = {file.name: file.read_bytes() for file in Path("reports").iterdir()}
    assert all(content.startswith(b"%PDF") for content in before.values())


def test_a_report_that_cannot_be_written_is_said_and_the_finding_stands(
    predict: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b.png").unlink()
    assert predict(folder, "--json") == Exit.DONE
    (found,) = json.loads(capsys.readouterr().out)["predictions"]
    Path("reports", f"{found['id']}.pdf").mkdir(parents=True)
    assert predict(folder, "--pdf", "reports", "--json") == Exit.PARTLY
    answer = json.loads(capsys.readouterr().out)
    assert answer["predictions"][0]["finding"] == "pneumonia"
    assert "no report was written" in answer["errors"][0]["message"]


def test_without_reportlab_nothing_is_scored_and_the_extra_is_named(
    predict: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "reportlab", None)
    assert predict(folder, "--pdf", "reports", "--json") != Exit.DONE
    answer = json.loads(capsys.readouterr().out)
    assert "predictions" not in answer and "report" in answer["error"]["hint"]
    assert "reportlab" in installation.MODULES["report"] and not Path("reports").exists()


def test_reports_are_made_on_this_machine_only(predict: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder, "--remote", "--pdf", "reports", "--json") == Exit.USAGE
    assert "--remote cannot be combined" in json.loads(capsys.readouterr().out)["error"]["message"]
