"""Progress: a bar on a terminal, lines elsewhere, and run.json for programs."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from model.training.reporter import Reporter


def progress(**changes: object) -> SimpleNamespace:
    facts = {"epoch": 0, "batch": 5, "step": 5, "loss": 4.0, "seen": 8, "seconds": 2.0, "waited": 0, "best_epoch": -1}
    return SimpleNamespace(**{**facts, "history": [{"loss": 0.5, "val_auc": 0.75}], **changes})


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    made = Reporter(tmp_path / "run.json", tmp_path / "history.json")
    made.images, made.epochs = 80, 4
    return made


def facts(reporter: Reporter) -> dict:
    return json.loads(reporter.run.read_text())


def test_states_are_written_immediately(reporter: Reporter, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        reporter.state("running")
        assert facts(reporter)["state"] == "running"
        reporter.state("failed", "no data")
    assert (facts(reporter)["state"], facts(reporter)["message"]) == ("failed", "no data")
    assert [record.message for record in caplog.records] == ["running", "failed: no data"]


def test_an_epoch_is_a_line_and_a_history(reporter: Reporter, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        reporter(progress(epoch=1, batch=0, step=10, best_epoch=0), 10)
        reporter(progress(epoch=2, batch=0, step=20, best_epoch=0, waited=1), 10)
    lines = [record.message for record in caplog.records]
    assert lines[0] == "epoch 1/4 loss 0.5000 val_auc 0.7500 40 img/s *"  # the star: better than any before
    assert lines[1].endswith("img/s")
    assert json.loads(reporter.history.read_text()) == [{"loss": 0.5, "val_auc": 0.75}]
    state = facts(reporter)
    assert (state["step"], state["steps"], state["epoch"], state["best_epoch"]) == (20, 40, 2, 1)
    assert state["images_per_second"] == pytest.approx(80.0)


def test_progress_without_a_terminal_prints_few_lines_an_epoch(
    reporter: Reporter, caplog: pytest.LogCaptureFixture, capsys
) -> None:
    with caplog.at_level(logging.INFO):
        reporter(progress(), 10)
        assert not caplog.records
        reporter._last_line -= 60
        reporter(progress(), 10)
        reporter(progress(), 10)
    assert [record.message for record in caplog.records] == ["epoch 1/4 step 5/10 loss 0.5000"]
    assert capsys.readouterr().err == ""


def test_on_a_terminal_a_bar_is_shown_between_lines(reporter: Reporter, capsys) -> None:
    reporter._bar = True
    reporter(progress(), 10)
    reporter.line("a line")
    drawn = capsys.readouterr().err
    assert drawn.startswith("\repoch 1/4 [############------------] 5/10 loss 0.5000")
    assert drawn.endswith("\r\033[K")
