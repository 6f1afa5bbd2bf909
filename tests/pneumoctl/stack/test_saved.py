"""The files of a stack: what can be derived is derived if a file is damaged or missing, and nothing is lost by it."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh.hosts import holder
from pneumoctl.stack import documents, inventory, lock, runs
from pneumoctl.stack.documents import Damaged, Newer
from pneumoctl.stack.journal import Journal
from pneumoctl.stack.runs import Receipt, Run
from pneumoctl.stack.saved import Cloud, Ports
from pneumoctl.stack.stack import Stack
from tests.pneumoctl.examples import HOSTS_OUTPUT

CLOUD = Cloud("eu-west-1", "", "123456789012", "pneumoctl-t-123456789012-eu-west-1")
HOSTS = inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1")
DAMAGE = {
    "empty": b"",
    "lost at a crash": b"\0" * 64,
    "cut": b'{"region": "eu-',
    "no text": b"\xff\xfe{}",
    "a list": b"[]",
    "nothing in it": b"{}",
    "other types": b'{"region": 5, "profile": null, "account": [], "bucket": {}, "hosts": 1}',
    "other hosts": b'{"hosts": [{"name": 5, "role": "web"}]}',
    "no hosts": b'{"hosts": []}',
}


@pytest.fixture(autouse=True)
def _warn_again() -> None:
    documents.warn_once.cache_clear()


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """A stack on aws as `up` leaves it, with terraform's state on this machine."""
    made = Stack("t", tmp_path / "t")
    made.save_cloud(Cloud("eu-west-1", "work", CLOUD.account, CLOUD.bucket))
    made.save_hosts(HOSTS)
    made.terraform.mkdir()
    variables = {"stack": "t", "region": CLOUD.region, "bucket": CLOUD.bucket, "public_key": "ssh-ed25519 AAAA"}
    (made.terraform / "terraform.tfvars.json").write_text(json.dumps(variables))
    outputs = {"hosts": {"value": HOSTS_OUTPUT}, "bastion": {"value": "198.51.100.1"}}
    role = {"arn": "arn:aws:iam::123456789012:role/r", "key_fingerprint": "arn:aws:s3:::x"}
    state = {"version": 4, "serial": 3, "outputs": outputs, "resources": [{"instances": [{"attributes": role}]}]}
    (made.terraform / "terraform.tfstate").write_text(json.dumps(state))
    return made


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_location_and_inventory_are_derived_and_said_once(
    stack: Stack, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("aws.json", "inventory.json"):
        (stack.directory / name).write_bytes(content)
    assert (stack.target, stack.cloud(), stack.cloud(), stack.hosts()) == ("aws", CLOUD, CLOUD, HOSTS)
    stderr = capsys.readouterr().err
    assert stderr.count("aws.json is damaged: ") == stderr.count("inventory.json is damaged: ") == 1
    assert (stack.directory / "aws.json").read_bytes() == content  # a reader writes nothing


def test_a_missing_location_and_inventory_are_derived(stack: Stack) -> None:
    for name in ("aws.json", "inventory.json"):
        (stack.directory / name).unlink()
    assert (stack.target, stack.cloud(), stack.hosts()) == ("aws", CLOUD, HOSTS)
    (stack.terraform / "terraform.tfstate").unlink()
    assert (stack.target, stack.hosts()) == ("", None)  # `plan` alone leaves variables, and makes no stack


def test_the_account_of_a_bucket_with_another_name_is_in_the_state(stack: Stack) -> None:
    (stack.directory / "aws.json").write_text("{")
    variables = {"stack": "t", "region": "eu-west-1", "bucket": "ours"}
    (stack.terraform / "terraform.tfvars.json").write_text(json.dumps(variables))
    assert stack.cloud() == Cloud("eu-west-1", "", "123456789012", "ours")


def test_what_nothing_can_be_derived_from_is_an_error_whose_hint_destroys_nothing(stack: Stack) -> None:
    for name in ("aws.json", "inventory.json", "secrets.json", "ports.json"):
        (stack.directory / name).write_text("{")
    (stack.terraform / "terraform.tfstate").write_text("")
    assert stack.may_have_training_host
    with pytest.raises(Damaged) as hosts:
        stack.hosts()
    with pytest.raises(Damaged) as secrets:
        stack.secrets()
    (stack.terraform / "terraform.tfvars.json").write_text("{")
    with pytest.raises(Damaged) as cloud:
        stack.cloud()
    with pytest.raises(Damaged) as ports:
        stack.ports()
    hints = [caught.value.hint for caught in (hosts, secrets, cloud, ports)]
    assert all("pneumoctl up" in hint for hint in hints)
    assert not [hint for hint in hints if "teardown" in hint or "purge" in hint]


def test_fields_of_a_newer_version_are_ignored_or_refused_where_they_would_be_lost(stack: Stack) -> None:
    for name in ("aws.json", "inventory.json"):
        path = stack.directory / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"of_tomorrow": 1}))
    assert stack.cloud() == Cloud("eu-west-1", "work", CLOUD.account, CLOUD.bucket) and stack.hosts() == HOSTS
    stack.write("secrets.json", {"redis_password": "r", "mac_key": "m", "api_token": "t", "of_tomorrow": 1})
    with pytest.raises(Newer, match="does not know of_tomorrow") as caught:
        stack.secrets()
    assert "pneumoctl" in caught.value.hint and "teardown" not in caught.value.hint


RUN = Run("20261123-061500-a1b2", "t", "gpu", "2026-11-23T06:15:00+00:00", [], 1800, 7200)
OTHER = Run("20261124-061500-a1b2", "t", "gpu", "2026-11-24T06:15:00+00:00", [], 1800, 7200)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"id": 5}', '{"phases": "armed"}'])
def test_a_damaged_run_hides_no_other(stack: Stack, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    for run in (RUN, OTHER):
        runs.save(stack, run)
    (runs.run_directory(stack, RUN.id) / "record.json").write_text(content)
    assert runs.load_all(stack) == runs.list_open(stack) == [OTHER]
    assert capsys.readouterr().err.count(f"{RUN.id}/record.json is damaged") == 1
    with pytest.raises(Damaged) as caught:
        runs.load(stack, RUN.id)
    assert "from a backup" in caught.value.hint and "away" not in caught.value.hint


def test_a_run_with_a_damaged_receipt_is_open_and_gets_a_new_one(stack: Stack) -> None:
    runs.save(stack, RUN)
    receipt = Receipt(RUN.id, 0, "done", usd=1)
    runs.save_receipt(stack, receipt)
    assert runs.list_open(stack) == []
    path = runs.run_directory(stack, RUN.id) / "receipt.json"
    path.write_text('{"run": ')
    assert runs.list_open(stack) == [RUN]
    runs.save_receipt(stack, receipt)
    assert runs.load_receipt(stack, RUN.id) == receipt
    assert path.with_name("receipt.json.damaged").read_text() == '{"run": '


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"0" * 31])
def test_a_damaged_name_of_a_lease_s_holder_is_replaced(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "holder"
    if content is not None:
        path.write_bytes(content)
    made = holder(path)
    assert len(made) == 32 and holder(path) == made


@pytest.mark.parametrize("change", [False, True])
def test_only_a_command_that_takes_leases_makes_the_name_of_their_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bool
) -> None:
    stack, given = Stack("t", tmp_path / "t"), list[str]()
    stack.save_hosts(inventory.Inventory((inventory.Host("nginx", "nginx", "10.20.0.10"),)))
    monkeypatch.setattr(ssh_hosts, "Connections", lambda *_: nullcontext())
    agents = SimpleNamespace(lease=lambda _: None, greet=lambda _: None, close=lambda _: None)
    monkeypatch.setattr(ssh_hosts, "Agents", lambda _connections, ours, *_: given.append(ours) or agents)
    with ssh_hosts.opened(stack, change=change):
        assert (stack.directory / "holder").exists() is change is bool(given[0])


def test_the_journal_continues_after_a_cut_line_and_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"at": "2026')
    Journal(path, "up").write("begin")
    Journal(path, "up").write("end")
    lines = path.read_text().splitlines()
    assert lines[0] == '{"at": "2026' and [json.loads(line)["event"] for line in lines[1:]] == ["begin", "end"]
    path.unlink()
    path.mkdir()
    Journal(path, "up").write("begin")
    assert "the journal cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "7", "{}"])
def test_a_damaged_lock_still_excludes(tmp_path: Path, content: str) -> None:
    path = tmp_path / "t.lock"
    with lock.held(path, "up"):
        path.write_text(content)
        with pytest.raises(PneumoError, match="locked by another pneumoctl"), lock.held(path, "up"):
            pass


@pytest.mark.parametrize(
    ("document", "read"),
    [({"requested": {"ui": 1}, "assigned": {"ui": 1}}, True), ({"requested": {"ui": "1"}, "assigned": {}}, False),
     ({"requested": {"ui": True}, "assigned": {}}, False), ({"requested": []}, False)],
)  # fmt: skip
def test_ports_are_whole_numbers(tmp_path: Path, document: Any, read: bool) -> None:
    stack = Stack("t", tmp_path)
    stack.write("ports.json", document)
    if read:
        assert stack.ports() == Ports({"ui": 1}, {"ui": 1})
    else:
        with pytest.raises(Damaged):
            stack.ports()
