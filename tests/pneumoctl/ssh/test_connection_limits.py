"""Hosts that refuse or are silent: reported with host and phase, and with a limit on every wait."""

import itertools
import os
import shlex
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.ssh import connections as connections_module
from pneumoctl.ssh import keys
from pneumoctl.ssh.connections import Connections, HostConnection
from pneumoctl.stack.inventory import Host
from tests.lab.wait import wait_for
from tests.pneumoctl.ssh.connected import EARLY_S, run, timed
from tests.pneumoctl.sshd import Farm


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
