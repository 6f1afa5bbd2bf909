"""The exit code of `pneumoctl drift`, and the document that it shows."""

import json
from pathlib import Path

import pytest

from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.targets.aws.inspection.drift import DriftRow

CHANGED = DriftRow("changed", "app-0: /etc/redis/redis.conf", "contents or rights differ")
UNKNOWN = DriftRow("unknown", "app-1", "app-1 (10.20.0.11): asking its agent: no answer")


@pytest.mark.parametrize(
    ("rows", "code"),
    [([], Exit.DONE), ([CHANGED], Exit.CHANGES), ([UNKNOWN], Exit.FAILED), ([CHANGED, UNKNOWN], Exit.FAILED)],
)
def test_the_exit_code_tells_no_drift_from_drift_and_from_a_host_that_could_not_be_asked(
    rows: list[DriftRow],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("pneumoctl.stack.stack.Stack.require_aws", lambda *_: None)
    monkeypatch.setattr("pneumoctl.cli.drift.compare", lambda *_: (rows, []))

    assert run(["drift", "--stack", "x", "--json"]) == code
    documents = [{"what": row.what, "address": row.where, "detail": row.detail} for row in rows]
    assert json.loads(capsys.readouterr().out) == {"stack": "x", "drift": documents, "differences": []}
