"""Connections to real SSH servers: through the bastion, with pinned keys only, and with a limit on every wait."""

import itertools
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import connections as connections_module
from pneumoctl.ssh import keys, remote_command
from pneumoctl.ssh.connections import Connections, HostConnection, Unreachable
from pneumoctl.stack.inventory import Host
from tests.lab.wait import wait_for
from tests.pneumoctl.sshd import Farm, entered, namespaces, on_loopback

MSG_CHANNEL_EOF = 96  # RFC 4254
EARLY_S = 60.0  # generous for a busy machine; the commands and limits that must not be waited for are far longer


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as running_farm:
        yield running_farm


@pytest.fixture(scope="module")
def hosts_in_namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farm, str]]:
    with namespaces(tmp_path_factory.mktemp("network")) as hosts:
        yield hosts


@pytest.fixture
def network(hosts_in_namespaces: tuple[Farm, str]) -> Iterator[Farm]:
    """Hosts in network namespaces. During the test, this thread is in one that only reaches the bastion."""
    farm, operator = hosts_in_namespaces
    with entered(operator):
        yield farm


@pytest.fixture
def connections(farm: Farm) -> Iterator[Connections]:
    with Connections(farm.inventory, farm.directory) as opened:
        yield opened


def timed(act: Callable[[], object]) -> tuple[float, PneumoError]:
    """Seconds until it fails, and how."""
    began = time.monotonic()
    with pytest.raises(PneumoError) as caught:
        act()
    return time.monotonic() - began, caught.value


def run(connections: Connections, farm: Farm, name: str, *argv: str, limit: float = 60) -> str:
    return remote_command.run(connections, farm.host(name), argv or ("true",), limit).stdout


def test_a_private_host_sees_the_bastion_as_the_client(farm: Farm, connections: Connections) -> None:
    output = run(connections, farm, "web-0", "sh", "-c", "echo $SSH_CONNECTION")
    assert f"{farm.servers['web-0'].address} {farm.servers['web-0'].port}" in output
    log = (farm.servers["nginx"].folder / "log").read_text()
    assert "Accepted publickey" in log


def test_one_connection_a_host_is_shared_by_all_threads(farm: Farm, connections: Connections) -> None:
    logs = {name: server.folder / "log" for name, server in farm.servers.items()}
    before = {name: log.read_text().count("Accepted publickey") for name, log in logs.items()}
    names = [name for name in farm.servers if name != "nginx"] * 3
    with ThreadPoolExecutor(9) as pool:
        outputs = list(pool.map(lambda name: run(connections, farm, name, "echo", name), names))
    assert outputs == [f"{name}\n" for name in names]
    assert all(log.read_text().count("Accepted publickey") == before[name] + 1 for name, log in logs.items())


def test_a_lost_connection_is_opened_again(farm: Farm, connections: Connections) -> None:
    run(connections, farm, "web-0")
    for name in ("nginx", "web-0"):
        connections.to(farm.host(name)).fabric.close()
        assert run(connections, farm, "web-0", "echo", "again") == "again\n"


def test_a_connection_that_is_lost_while_sending_or_closing_is_unreachable(
    farm: Farm, connections: Connections
) -> None:
    host = farm.host("web-0")

    def dead(_: object) -> None:
        raise EOFError  # paramiko raises it, and it is not an OSError

    def die() -> Iterator[bytes]:
        transport = connections.to(host).fabric.transport
        transport._send_message = dead
        yield b"one more word"

    seconds, error = timed(lambda: connections.execute(host, "cat", die(), BytesIO(), 600))
    assert isinstance(error, Unreachable) and "the connection was lost" in error.message and seconds < EARLY_S
    connections.close()


def test_a_command_that_ends_before_the_end_of_its_input_leaves_the_connection_open(
    farm: Farm, connections: Connections
) -> None:
    """The client is slow, as on a busy machine: the host closed the channel before the client sends its next message.

    A message to a closed channel makes sshd close the connection, and that of the bastion carries all others.
    """
    transport = connections.to(farm.host("nginx")).fabric.transport
    send = transport._send_user_message

    def send_late(message: object) -> None:
        if threading.current_thread() is not transport and message.asbytes()[0] == MSG_CHANNEL_EOF:
            wait_for("the host to close the channel", lambda: not transport._channels.values())
        send(message)

    transport._send_user_message = send_late
    assert run(connections, farm, "nginx", "echo", "first") == "first\n"
    assert connections.execute(farm.host("nginx"), "head -c 3", iter([b"abc"]), output := BytesIO(), 60) == (0, b"")
    assert output.getvalue() == b"abc"
    assert run(connections, farm, "nginx", "cat") == ""
    assert connections.to(farm.host("nginx")).fabric.transport is transport


def test_close_ends_a_running_command(farm: Farm, connections: Connections) -> None:
    run(connections, farm, "app-0")
    threading.Timer(0.5, connections.close).start()
    seconds, error = timed(lambda: run(connections, farm, "app-0", "sleep", "600", limit=600))
    assert isinstance(error, Unreachable) and seconds < EARLY_S


@pytest.mark.parametrize("name", ["nginx", "web-0"])
def test_a_changed_host_key_is_a_hard_stop(farm: Farm, connections: Connections, name: str) -> None:
    server = farm.servers[name]
    server.stop()
    server.new_key()
    server.start()
    try:
        _, error = timed(lambda: run(connections, farm, "web-0"))
        assert not isinstance(error, Unreachable) and error.code == Exit.FAILED
        assert f"the host key of {name} (i-{name}) is not the one pinned" in error.message
        assert "publickey" not in (server.folder / "log").read_text()
    finally:
        farm.pin()


def test_nothing_is_sent_to_a_host_without_a_pin(farm: Farm, connections: Connections) -> None:
    keys.forget(farm.directory, {"i-nginx"})
    try:
        _, error = timed(lambda: run(connections, farm, "web-0"))
        assert isinstance(error, Unreachable) and "none is pinned" in error.message and error.hint == "pneumoctl up"
    finally:
        farm.pin()


def test_a_key_that_the_host_rejects_is_reported(farm: Farm, tmp_path: Path) -> None:
    keys.key_pair(tmp_path / "ssh")
    (tmp_path / "ssh" / keys.KNOWN_HOSTS).write_bytes((farm.directory / keys.KNOWN_HOSTS).read_bytes())
    with Connections(farm.inventory, tmp_path / "ssh") as strange:
        _, error = timed(lambda: run(strange, farm, "web-0"))
    assert "nginx" in error.message and f"not accepted for user {farm.user}" in error.message


def test_a_key_open_to_others_is_not_used(farm: Farm, connections: Connections) -> None:
    private = farm.directory / keys.PRIVATE
    private.chmod(0o644)
    try:
        _, error = timed(lambda: run(connections, farm, "web-0"))
        assert "open to other users" in error.message and "chmod 600" in error.hint
    finally:
        private.chmod(0o600)


def test_a_damaged_pin_is_reported(farm: Farm, connections: Connections) -> None:
    (farm.directory / keys.KNOWN_HOSTS).write_text("i-nginx ssh-ed25519 AAAA\n")
    try:
        _, error = timed(lambda: run(connections, farm, "nginx"))
        assert not isinstance(error, Unreachable) and keys.KNOWN_HOSTS in error.message
    finally:
        farm.pin()


def test_refusals_name_host_and_phase(farm: Farm, connections: Connections) -> None:
    farm.servers["web-0"].stop()
    try:
        _, error = timed(lambda: run(connections, farm, "web-0"))
        assert error.details == {"host": "web-0", "phase": "connecting through the bastion"}
        assert "no answer" not in error.message
        assert error.hint == "pneumoctl status"
        connections.close()
        farm.servers["nginx"].stop()
        _, error = timed(lambda: run(connections, farm, "web-0"))
        assert error.details["host"] == "nginx" and "refused" in error.message
        assert error.hint == "your address may have changed: pneumoctl up"
    finally:
        farm.servers["web-0"].start()
        if farm.servers["nginx"].process is None:
            farm.servers["nginx"].start()


def test_paramikos_own_messages_never_reach_the_terminal(farm: Farm) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom pneumoctl.stack.inventory import Inventory\n"
        "from pneumoctl.stack.inventory import Host\nfrom pneumoctl.ssh.connections import Connections, Unreachable\n"
        "host = Host('nginx', 'nginx', '127.0.0.1', {'ssh': int(sys.argv[2])}, 'i-nginx', '127.0.0.1', 'x')\n"
        "try:\n    Connections(Inventory((host,)), Path(sys.argv[1])).to(host)\nexcept Unreachable as error:\n"
        "    print(error.details['phase'])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with server.accept()[0] as client:
                client.sendall(b"220 not SSH\r\n" * 200)

        threading.Thread(target=greet, daemon=True).start()
        argv = [sys.executable, "-c", script, str(farm.directory), str(server.getsockname()[1])]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        result = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert (result.stdout, result.stderr) == ("SSH handshake\n", "")


def test_every_kind_of_silent_private_host_is_reported_in_time(network: Farm, tmp_path: Path) -> None:
    """Silent from the start, silent after its greeting, cut off while it works; other hosts keep working meanwhile."""
    with Connections(network.inventory, network.directory) as connections, ThreadPoolExecutor(5) as pool:
        for name in ("nginx", "app-0"):
            run(connections, network, name)
        working = pool.submit(timed, lambda: run(connections, network, "app-0", "sleep", "600", limit=600))
        file = tmp_path / "file"
        upload = ("sh", "-c", f"cat >{shlex.quote(str(file))}")
        chunks = (bytes(1 << 20) for _ in itertools.count())  # without end: only the cut ends it
        sending = pool.submit(
            timed, lambda: connections.execute(network.host("app-0"), shlex.join(upload), chunks, BytesIO(), 3600)
        )
        while not file.exists() or not file.stat().st_size:
            time.sleep(0.02)
        with network.tongue_tied("monitoring"), network.cut("web-0"), network.cut("app-0"):
            began = time.monotonic()
            dead = pool.submit(timed, lambda: run(connections, network, "web-0"))
            mute = pool.submit(timed, lambda: run(connections, network, "monitoring"))
            while not all(one.done() for one in (working, sending, dead, mute)):
                assert run(connections, network, "nginx", "echo", "fine") == "fine\n"
                time.sleep(1)
            assert time.monotonic() - began < EARLY_S
        _, error = dead.result()
        assert error.details["phase"] == "connecting through the bastion"
        assert "web-0" in error.message and "no answer within 10 s" in error.message
        _, error = mute.result()
        assert error.details == {"host": "monitoring", "phase": "SSH handshake"}
        _, error = working.result()
        assert "app-0" in error.message and "lost" in error.message and "may still run" in error.message
        _, error = sending.result()
        assert "lost" in error.message
        assert run(connections, network, "app-0", "echo", "back") == "back\n"


def test_a_silent_bastion_is_reported_by_all_threads(network: Farm) -> None:
    with Connections(network.inventory, network.directory) as connections, ThreadPoolExecutor(5) as pool:
        run(connections, network, "web-0")
        working = pool.submit(timed, lambda: run(connections, network, "web-0", "sleep", "600", limit=600))
        time.sleep(0.5)
        with network.cut("nginx"):
            _, error = timed(lambda: run(connections, network, "app-0"))
            assert "bastion" in error.message and "address may have changed" in error.hint
            seconds, _ = working.result()
            assert seconds < EARLY_S


def test_threads_that_wait_for_a_silent_bastion_share_one_attempt(
    network: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "CONNECT", 1)
    attempts, asked, dial, to = [], [], socket.create_connection, Connections.to

    def dial_late(*arguments: Any, **options: Any) -> socket.socket:
        attempts.append(arguments)
        wait_for("every thread to ask for the bastion", lambda: len(asked) == len(network.servers))
        return dial(*arguments, **options)

    def ask(connections: Connections, host: Host) -> HostConnection:
        if host.name == "nginx":
            asked.append(host)
        return to(connections, host)

    monkeypatch.setattr(connections_module.socket, "create_connection", dial_late)
    monkeypatch.setattr(Connections, "to", ask)
    with (
        Connections(network.inventory, network.directory) as connections,
        network.cut("nginx"),
        ThreadPoolExecutor(len(network.servers)) as pool,
    ):
        failed = list(pool.map(lambda name: timed(lambda: run(connections, network, name)), network.servers))
    assert len(attempts) == 1
    assert all(error.details["host"] == "nginx" for _, error in failed)
