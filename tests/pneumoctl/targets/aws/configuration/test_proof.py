"""What serves is what the API processes of the hosts run, identified by the digest of every file."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.plan.steps import Step
from pneumoctl.plan.transport import Output
from pneumoctl.scoring.api_client import Refused
from pneumoctl.ssh.on_host import release_check
from pneumoctl.stack.inventory import Host
from pneumoctl.targets.aws.configuration import proof
from pneumoctl.targets.common.health import WebEndpoint
from tests.pneumoctl.examples import DESIRED
from tests.pneumoctl.models import made

HOSTS = DESIRED.inventory
ANY: Any = None


class Agents:
    """The agents of hosts whose APIs run the models in these folders of this machine."""

    def __init__(self, running: dict[str, Path | None]) -> None:
        self.running = running

    def run(self, host: Host, argv: Any) -> Output:
        root = self.running[host.name]
        return Output(0, f"17\n{root}\n" if root else "0\n", "")

    def read(self, host: Host, paths: list[str]) -> list[str | None]:
        return [Path(path).read_text() for path in paths]

    def check_releases(self, host: Host, roots: list[str], timeout: float) -> list[tuple[str, str]]:
        return release_check.differences(roots)


@pytest.fixture
def deploy(tiny_bundle: Path, tmp_path: Path) -> Any:
    """A model with so many findings, as it lies on a host under its name."""

    def deployed(host: str, positives: int) -> Path:
        source = made(tiny_bundle, tmp_path / "made", positives)
        manifest = proof.bundle.load(source).manifest
        return Path(shutil.move(source, tmp_path / host / f"{manifest['name']}-{manifest['version']}"))

    (tmp_path / "app-0").mkdir()
    (tmp_path / "app-1").mkdir()
    return deployed


def served(running: dict[str, Path | None]) -> dict[str, Any]:
    return proof.served(SimpleNamespace(inventory=HOSTS, agents=Agents(running)))  # type: ignore[arg-type]


def refused(running: dict[str, Path | None]) -> str:
    with pytest.raises(PneumoError) as caught:
        served(running)
    assert caught.value.code == Exit.GATE_FAILED
    return caught.value.message


def test_the_model_that_all_hosts_run_serves(deploy: Any) -> None:
    running = {"app-0": deploy("app-0", 380), "app-1": deploy("app-1", 380)}
    assert served(running)["metrics"]["test"]["sensitivity"]["value"] == 380 / 390


def test_hosts_that_run_different_models_are_named(deploy: Any) -> None:
    running = {"app-0": deploy("app-0", 380), "app-1": deploy("app-1", 381)}
    message = refused(running)
    assert all(f"{host} {root.name}" in message for host, root in running.items()) and "deploy model" in message


def test_a_host_whose_api_does_not_run_proves_nothing(deploy: Any) -> None:
    assert "the API on app-1 does not run" in refused({"app-0": deploy("app-0", 380), "app-1": None})


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "MODEL_CARD.md"])
def test_a_model_of_which_a_file_was_changed_is_not_the_deployed_one(deploy: Any, name: str) -> None:
    root = deploy("app-0", 380)
    content = (root / name).read_bytes()
    (root / name).write_bytes(content.replace(b"e", b"f", 1))
    assert f"{root / name} differs" in refused({"app-0": root, "app-1": root})


def test_a_model_under_the_name_of_another_is_refused(deploy: Any) -> None:
    root = deploy("app-0", 380)
    other = root.rename(root.with_name(f"{root.name[:-12]}{'0' * 12}"))
    assert f"{other / 'bundle.json'} differs" in refused({"app-0": other, "app-1": other})


@pytest.mark.parametrize(
    "output", [Output(124, "", "sh: did not end within 20 s"), Output(2, "17\n", "no such file"), Output(0, "17\n", "")]
)
def test_a_host_that_does_not_say_what_it_runs_is_no_failed_gate(deploy: Any, output: Output) -> None:
    """A failed gate takes the release back on every host."""
    agents = Agents({"app-0": deploy("app-0", 380)})
    answers = SimpleNamespace(
        run=lambda host, argv: output if host.name == "app-1" else agents.run(host, argv),
        read=agents.read,
        check_releases=agents.check_releases,
    )
    with pytest.raises(PneumoError, match=r"app-1 runs is not known") as caught:
        proof.served(SimpleNamespace(inventory=HOSTS, agents=answers))  # type: ignore[arg-type]
    assert caught.value.code == Exit.FAILED


def test_a_bundle_that_this_pneumoctl_cannot_read_is_no_failed_gate(
    deploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots: dict[str, Path | None] = {name: deploy(name, 380) for name in ("app-0", "app-1")}
    monkeypatch.setattr(proof.bundle, "SCHEMAS", (0,))
    with pytest.raises(PneumoError, match=r"cannot read its bundle\.json") as caught:
        served(roots)
    assert caught.value.code == Exit.FAILED


def test_a_front_door_that_does_not_answer_is_no_failed_gate(deploy: Any) -> None:
    agents = Agents({name: deploy(name, 380) for name in ("app-0", "app-1")})
    with socket.create_server(("127.0.0.1", 0)) as server:
        door = WebEndpoint(f"http://127.0.0.1:{server.getsockname()[1]}")
    hosts: Any = SimpleNamespace(inventory=HOSTS, agents=agents)
    with pytest.raises(PneumoError, match="Whether the releases are good is not known") as caught:
        proof.FrontDoor(door, hosts, lambda: nullcontext("s")).act(Step("Prove", ("operator",), ()))
    assert caught.value.code == Exit.FAILED


def test_the_proof_is_sent_by_somebody_who_has_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(proof, "served", lambda hosts: {"name": "m"})
    monkeypatch.setattr(proof.health, "require_login", lambda door: sent.append("nobody"))
    monkeypatch.setattr(proof.health, "gate", lambda door, manifest: sent.append(door.session) or {"id": "i"})

    @contextmanager
    def session() -> Iterator[str]:
        yield "of a user"
        sent.append("ended")

    state, output = proof.FrontDoor(WebEndpoint("u"), ANY, session).act(ANY)
    assert (state, output.stdout, sent) == ("done", '{"id": "i"}', ["nobody", "of a user", "ended"])


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (Refused(500, b"{}"), Exit.GATE_FAILED, "nobody can log in: the API refused the request: 500"),
        (PneumoError("the API on app-0 cannot be reached over SSH"), Exit.FAILED, "cannot be reached"),
    ],
)
def test_an_api_that_gives_no_session_fails_the_gate_and_one_that_is_not_reached_does_not(
    monkeypatch: pytest.MonkeyPatch, error: PneumoError, code: Exit, reason: str
) -> None:
    monkeypatch.setattr(proof, "served", lambda hosts: {"name": "m"})
    monkeypatch.setattr(proof.health, "require_login", lambda door: None)

    @contextmanager
    def session() -> Iterator[str]:
        raise error
        yield ""

    with pytest.raises(PneumoError, match=reason) as caught:
        proof.FrontDoor(WebEndpoint("u"), ANY, session).act(ANY)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("pid", "said", "code"),
    [("$PPID", "/m/one-1", 0), ("0", "", 0), ("4194305", "", 2)],
    ids=["runs", "does not run", "ended meanwhile"],
)
def test_the_process_says_which_bundle_it_runs(tmp_path: Path, pid: str, said: str, code: int) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho {pid}\n")
    systemctl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL_BUNDLE": "/m/one-1"}
    argv = ["/bin/sh", "-c", proof._RUNNING]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    process, _, root = done.stdout.strip().partition("\n")
    assert (root, done.returncode, process == "0") == (said, code, pid == "0")
