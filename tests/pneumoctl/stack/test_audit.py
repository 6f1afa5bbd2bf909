"""The audit record: its content for every outcome of a command, without secrets."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import pneumoctl
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import audit, stack
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.conftest import Operator


@pytest.fixture
def demo_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PNEUMO_STACK", "t")
    return stack.find("t")


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = run(["audit", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_a_command_has_a_beginning_and_an_end(demo_stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    with audit.recorded(demo_stack, "deploy", {"what": "api", "yes": True, "dry_run": False, "model": None}) as act:
        act.begin(audit.plan_digest(("a", "plan")))
        act.begin("again: the first counts")
        act.arn, act.changed = "arn:aws:iam::1:user/x", ("Install", "Restart")
    begun, ended = audit.chain(demo_stack).entries()
    assert begun["event"] == "begun" and ended["event"] == "ended" and begun["run"] == ended["run"]
    assert begun["options"] == {"what": "api", "yes": True} and len(begun["plan"]) == 64
    assert (ended["code"], ended["changed"], ended["arn"]) == (0, ["Install", "Restart"], "arn:aws:iam::1:user/x")
    assert begun["who"] == audit.current_user() and begun["stack"] == "t"
    code, document = answer(capsys)
    (entry,) = document["acts"]
    assert (
        code == 0 and entry["command"] == "deploy" and entry["code"] == 0 and entry["changed"] == ["Install", "Restart"]
    )
    assert run(["audit"]) == 0
    output = capsys.readouterr().out
    assert "deploy what=api --yes" in output and "done, 2 changes" in output and begun["plan"][:12] in output


@pytest.fixture
def unknown_user(monkeypatch: pytest.MonkeyPatch) -> int:
    """A user id without an entry in passwd, as a container is given."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_054_321)
    return os.getuid()


def test_a_user_without_a_name_is_known_by_its_id(unknown_user: int) -> None:
    assert audit.current_user() == f"{unknown_user}@{socket.gethostname()}"


def test_only_the_audit_record_asks_for_the_name_of_the_user() -> None:
    package = Path(pneumoctl.__file__).parent
    asking = [file.name for file in package.rglob("*.py") if "getuser(" in file.read_text()]
    assert asking == ["audit.py"]


def test_a_user_without_a_home_is_told_what_to_set(unknown_user: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = answer(capsys)
    assert code == Exit.USAGE and "XDG_STATE_HOME" in document["error"]["hint"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PneumoError("no", "", Exit.GATE_FAILED, changed=["one"]), 10),
        (KeyboardInterrupt(), 130),
        (SystemExit(143), 143),
        (OSError("disk"), 1),
        (ValueError("a fault of ours"), 1),
    ],
)
def test_the_end_is_recorded_for_every_outcome(demo_stack: Stack, error: BaseException, code: int) -> None:
    with pytest.raises(type(error)), audit.recorded(demo_stack, "up", {}) as act:
        act.begin()
        raise error
    ended = audit.chain(demo_stack).entries()[-1]
    assert ended["code"] == code and ended["changed"] == (["one"] if code == 10 else None)


def test_a_failure_adds_to_what_was_changed_before_it(demo_stack: Stack) -> None:
    """As of `up`: resources first, then the steps on the hosts."""
    with pytest.raises(PneumoError), audit.recorded(demo_stack, "up", {}) as act:
        act.begin()
        act.changed = ["aws_instance.app"]
        raise PneumoError("no", changed=["app-0: Install"])
    assert audit.chain(demo_stack).entries()[-1]["changed"] == ["aws_instance.app", "app-0: Install"]


def test_what_changed_nothing_is_not_recorded(demo_stack: Stack) -> None:
    with pytest.raises(PneumoError), audit.recorded(demo_stack, "up", {}):
        raise PneumoError("cancelled: nothing was changed")
    with audit.recorded(demo_stack, "up", {}):
        pass
    assert not audit.chain(demo_stack).path.exists()


def test_an_unwritable_record_is_reported_and_does_not_stop_the_command(
    demo_stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.chain(demo_stack).path.parent.mkdir()
    audit.chain(demo_stack).path.mkdir()
    done = False
    with audit.recorded(demo_stack, "teardown", {}) as act:
        act.begin()
        done = True
    assert done and "warning: the audit record cannot be written" in capsys.readouterr().err


def test_a_killed_command_is_listed_as_started(demo_stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "import time\nfrom pneumoctl.stack import audit, stack\n"
        "with audit.recorded(stack.find('t'), 'up', {}) as act:\n    act.begin()\n    time.sleep(300)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3], env=dict(os.environ))
    deadline = time.monotonic() + 600
    while not audit.chain(demo_stack).entries() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    with audit.recorded(demo_stack, "up", {}) as act:
        act.begin()
    code, document = answer(capsys, "--verify")
    assert code == 0 and document["unfinished"] == ["up"] and document["entries"] == 3
    assert run(["audit"]) == 0
    output = capsys.readouterr().out
    assert "started, no end recorded" in output and "done" in output


def test_verify_names_the_line(demo_stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"stack": "t", "entries": 0, "faults": [], "head": "", "unfinished": [], "trail": None}
    assert answer(capsys, "--verify") == (0, nothing)
    for _ in range(2):
        with audit.recorded(demo_stack, "up", {}) as act:
            act.begin()
    code, document = answer(capsys, "--verify")
    assert code == 0 and document["head"] == audit.chain(demo_stack).entries()[-1]["hash"]
    path = audit.chain(demo_stack).path
    path.write_text(path.read_text().replace('"code":0', '"code":1', 1))
    code, document = answer(capsys, "--verify")
    assert code == 1 and document["error"]["faults"] == ["line 2: changed after it was written"]
    assert run(["audit", "--verify"]) == 1 and "line 2: changed after it was written" in capsys.readouterr().err


def test_an_empty_record_is_reported(demo_stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit"]) == 0 and "no change is recorded" in capsys.readouterr().out
    assert list(demo_stack.directory.parent.glob("*")) == []  # to look leaves nothing behind


def test_entries_of_another_program_are_shown_safely(demo_stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    for odd in ({}, {"event": "ended", "run": "x"}, {"event": "begun", "run": 5, "options": None}):
        audit.chain(demo_stack).append(odd)
    code, document = answer(capsys)
    assert code == 0 and len(document["acts"]) == 1 and run(["audit"]) == 0


def test_a_failed_up_records_its_changes(operator: Operator) -> None:
    operator.directory.mkdir(parents=True)
    (operator.directory / "models").write_text("a file where a folder should be")
    assert operator.run("up", "-y", "--json", code=None).returncode == 1
    (act,) = operator.json("audit")["acts"]
    assert act["code"] == 1 and 0 < len(act["changed"]) < 6


def test_a_command_stopped_by_the_preflight_is_not_recorded(operator: Operator) -> None:
    operator.environment["PNEUMO_REDIS_SERVER"] = "/bin/false"
    operator.run("up", "-y", code=4)
    assert operator.json("audit")["acts"] == []
