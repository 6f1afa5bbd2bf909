"""The logs of hosts: the commands that read them, their parsing, and the selection of hosts."""

import json
import subprocess
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.transport import Output
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from pneumoctl.stack.inventory import from_outputs
from pneumoctl.targets.aws.inspection import log_sources, logs
from pneumoctl.targets.aws.inspection.log_sources import Entry, Steps, SystemdJournal, merged
from tests.pneumoctl.examples import HOSTS_OUTPUT

LINE = {
    "__REALTIME_TIMESTAMP": "1700000000250000",
    "__CURSOR": "s=1;i=2",
    "SYSLOG_IDENTIFIER": "redis-server",
    "MESSAGE": "Ready to accept connections",
}


def test_a_journal_is_asked_for_its_last_lines_and_then_for_what_came_after() -> None:
    journal = SystemdJournal(("redis-server",))
    entry = journal.entry("app-0", json.dumps(LINE))

    assert entry == Entry(1700000000.25, "app-0", "redis-server", "Ready to accept connections", "s=1;i=2")
    assert entry.time == "2023-11-14T22:13:20.250Z"
    assert journal.command(5)[-2:] == ("--unit=redis-server", "--lines=5")
    assert journal.command(5, True, entry)[-3:] == ("--after-cursor=s=1;i=2", "--lines=all", "--follow")
    assert not [word for word in SystemdJournal().command(5) if "unit" in word]


@pytest.mark.parametrize(
    ("message", "text"),
    [([104, 105, 255], "hi\ufffd"), (None, "(too long to be shown)"), (["a", "b"], "a\nb"), ("", "")],
)
def test_a_message_that_is_no_plain_text_is_readable(message: object, text: str) -> None:
    entry = SystemdJournal().entry("app-0", json.dumps(LINE | {"MESSAGE": message}))

    assert entry is not None and entry.text == text


@pytest.mark.parametrize("line", ['{"MESSAGE": "half', "[]", "{}", "", "-- No entries --"])
def test_what_is_no_entry_is_left_out(line: str) -> None:
    assert SystemdJournal().entry("app-0", line) is None
    assert Steps().entry("app-0", line) is None


def test_the_steps_on_a_host_are_readable() -> None:
    record = {"title": "Configure Redis", "run": "a1", "event": "failed", "what": "redis-server reads its files"}
    entry = Steps().entry("app-0", json.dumps(record | {"at": "2026-11-23T03:00:16Z"}))

    assert entry is not None
    assert entry.text == "failed Configure Redis: redis-server reads its files (run a1)"
    assert entry.time == "2026-11-23T03:00:16.000Z"
    assert "--lines=7" in Steps().command(7) and "-F" in Steps().command(7, follow=True)


def test_a_host_without_steps_has_an_empty_log(tmp_path: Path) -> None:
    def last(log: Path) -> tuple[int, str]:
        argv = [str(log) if word == log_sources.STEPS else word for word in Steps().command(1)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert last(tmp_path / "missing") == (0, "")
    (tmp_path / "steps.jsonl").write_text("a\nb\n")
    assert last(tmp_path / "steps.jsonl") == (0, "b\n")
    code, shown = last(tmp_path)  # a folder cannot be read
    assert code and not shown


def test_a_host_whose_log_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty log would say that nothing happened."""
    inventory = from_outputs(HOSTS_OUTPUT, "198.51.100.1")
    host = inventory.only("nginx")
    monkeypatch.setattr(Agents, "run", lambda *_: Output(1, "", "journalctl: no journal"))
    with Connections(inventory, tmp_path) as connections:
        entries, lost = logs._last(connections, [(host, SystemdJournal())], 5)
    assert not entries and "no journal" in lost[host.name]


def test_the_last_lines_of_all_hosts_are_in_order() -> None:
    first = [Entry(at, "a", "x", "") for at in (1, 4, 5)]
    two = [Entry(at, "b", "x", "") for at in (2, 3, 6)]

    assert [entry.at for entry in merged((first, two), 4)] == [3, 4, 5, 6]


def test_a_service_is_asked_for_on_every_host_that_runs_it() -> None:
    hosts = from_outputs(HOSTS_OUTPUT, "198.51.100.1")

    def asked(name: str | None) -> dict[str, object]:
        return {host.name: log for host, log in logs.choose(hosts, name)}

    apps = {host.name for host in hosts.hosts if host.role == "app"}
    up = {host.name for host in hosts.hosts if host.role != "train"}
    assert asked("api") == dict.fromkeys(apps, SystemdJournal(("pneumoctl-api",)))
    assert asked("nginx") == {"nginx": SystemdJournal(("nginx",))}
    assert asked("monitoring") == {"monitoring": SystemdJournal()}
    assert asked("pneumoctl") == dict.fromkeys(up, Steps())
    assert set(asked(None)) == up
    with pytest.raises(PneumoError, match=r"unknown log 'apis'; choose one of: nginx, ui, api, .*app-0") as error:
        asked("apis")
    assert error.value.code == Exit.USAGE


def test_log_lines_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.show(Entry(0, "app-0", "python", "\x1b[0;93mwarned\x1b[m\x1b]0;title\x07\ttwo\nlines\x9b2J"))

    output = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in output] == ["warned]0;title\ttwo", "lines2J"]
    assert all(line.startswith("1970-01-01T00:00:00.000Z app-0") for line in output)
