"""Files of the stack's directory are lost, damaged or older than the stack: nothing is replaced without a word."""

import json
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from model import phantom
from tests.lab import page_session
from tests.lab.first_up import FirstUp
from tests.lab.stack_operator import HOSTS, Operator


@pytest.fixture
def put_back(operator: Operator, tmp_path: Path) -> Iterator[None]:
    """Put the files of the stack's directory back after a test that failed in the middle."""
    kept = tmp_path / "kept"
    shutil.copytree(operator.directory, kept, symlinks=True, ignore=shutil.ignore_patterns("providers", "*.sock"))
    yield
    for name in ("secrets.json", "aws.json", "inventory.json", "ssh/id_ed25519"):
        if not (operator.directory / name).exists():
            shutil.copy2(kept / name, operator.directory / name)


def ask(operator: Operator, method: str, path: str, **more: Any) -> urllib3.BaseHTTPResponse:
    """A request to the web page by a user who is logged in."""
    return page_session.request(operator, method, path, headers=page_session.begin(operator), **more)


def saved(operator: Operator, name: str) -> Any:
    return json.loads((operator.directory / name).read_text())


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, pytest.param(lambda path: path.write_text('{"redis_pass'), marks=pytest.mark.repeat)],
    ids=["gone", "cut"],
)
def test_secrets_are_read_back_from_the_hosts_and_results_stay_readable(
    operator: Operator, first_up: FirstUp, put_back: None, spoil: Callable[[Path], object]
) -> None:
    picture = {"file": ("kept.png", phantom.png(11, 512, True), "image/png")}
    where = urllib.parse.urlsplit(ask(operator, "POST", "/predictions", fields=picture).headers["Location"])
    before = saved(operator, "secrets.json")
    spoil(operator.directory / "secrets.json")

    assert "pneumoctl up" in operator.json("users", "ls", code=1)["error"]["hint"]
    assert "secrets.json is" in operator.run("plan").stdout
    assert "read back from app-0, app-1" in operator.run("up", "-y").stderr

    after = saved(operator, "secrets.json")
    assert all(after[name] == before[name] for name in ("mac_key", "api_token", "redis_password"))
    assert "kept.png" in ask(operator, "GET", f"{where.path}?{where.query}").data.decode()
    assert operator.json("up", "-y")["changed"] == []


def test_the_location_and_the_inventory_are_derived_and_written_anew(
    operator: Operator, first_up: FirstUp, put_back: None
) -> None:
    before = {name: saved(operator, name) for name in ("aws.json", "inventory.json")}
    (operator.directory / "aws.json").write_text("")
    (operator.directory / "inventory.json").write_text('{"hosts": [{"na')

    assert "aws.json is damaged" in operator.run("gpu", "stop").stderr
    assert operator.run("ssh", "web-0", "--", "hostname").stdout == "web-0\n"
    assert operator.json("up", "-y")["changed"] == []
    assert {name: saved(operator, name) for name in before} == before


def older_state(operator: Operator) -> dict[str, str]:
    """Give the directory an older state: without app-1, and with the web-0 of before. Returns the present ids."""
    file = operator.directory / "terraform/terraform.tfstate"
    state = json.loads(file.read_text())
    (hosts,) = (resource for resource in state["resources"] if resource["type"] == "aws_instance")
    ids = {instance["index_key"]: instance["attributes"]["id"] for instance in hosts["instances"]}
    hosts["instances"] = [instance for instance in hosts["instances"] if instance["index_key"] != "app-1"]
    web = next(instance for instance in hosts["instances"] if instance["index_key"] == "web-0")
    web["attributes"]["id"] = "i-0123456789abcdef0"
    file.write_text(json.dumps(state))
    return ids


def test_an_older_copy_of_the_state_is_refused_and_taken_over_on_request(operator: Operator, first_up: FirstUp) -> None:
    file = operator.directory / "terraform/terraform.tfstate"
    newest = file.read_text()
    ids = older_state(operator)
    operator.lab.reset_calls()
    try:
        for command in (("plan",), ("up", "-y")):
            error = operator.json(*command, code=1)["error"]
            assert "older than the stack" in error["message"] and "pneumoctl up --adopt" in error["hint"]
            assert {(each["address"], each["id"]) for each in error["unlisted"]} == {
                (f'aws_instance.host["{name}"]', ids[name]) for name in ("app-1", "web-0")
            }
        assert operator.lab.mutating_calls() == []

        adopted = operator.run("up", "-y", "--adopt")
        assert "importing" in adopted.stderr and "RunInstances" not in {
            call["action"] for call in operator.lab.mutating_calls()
        }
        assert {name: operator.instance_id(name) for name in HOSTS} == {name: ids[name] for name in HOSTS}
        assert operator.json("up", "-y")["changed"] == []
    except BaseException:
        file.write_text(newest)
        raise


def test_a_lost_ssh_key_is_not_replaced_until_the_hosts_accept_another(
    operator: Operator, first_up: FirstUp, put_back: None
) -> None:
    key = operator.directory / "ssh/id_ed25519"
    key.unlink()
    operator.lab.reset_calls()
    for command in (("plan",), ("up", "-y")):
        error = operator.json(*command, code=4)["error"]
        assert "is missing, and its hosts accept no other" in error["message"]
        assert "pneumoctl secrets ssh-key" in error["hint"]
    assert not key.exists()
    operator.lab.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    assert "the stack's key was not accepted" in operator.json("up", "-y", code=1)["error"]["message"]
    assert operator.lab.mutating_calls() == []

    key.unlink()
    assert sorted(operator.json("secrets", "ssh-key", "-y")["changed"]) == sorted((*HOSTS, "train"))
    assert operator.state(operator.instance_id("train")) == "stopped"
    assert operator.json("up", "-y")["changed"] == ["aws_key_pair.operator"]
    assert operator.json("secrets", "ssh-key")["changed"] == []
    assert operator.json("drift") == {"stack": "default", "drift": [], "differences": []}
