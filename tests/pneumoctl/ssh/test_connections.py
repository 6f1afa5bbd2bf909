"""Connections to real SSH servers: through the bastion, with pinned keys only, and closed or opened again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

from pneumoctl.errors import Exit
from pneumoctl.ssh import keys
from pneumoctl.ssh.connections import Connections, Unreachable
from tests.lab.wait import wait_for
from tests.pneumoctl.ssh.connected import EARLY_S, run, timed
from tests.pneumoctl.sshd import Farm

MSG_CHANNEL_EOF = 96  # RFC 4254


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
