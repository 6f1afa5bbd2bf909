"""A restart of a service whose socket systemd holds, as on hosts, loses no request."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from pneumoctl.plan.render import render
from tests.webapp.servers import ROOT, free_port, ui_environment

RESTARTS, CLIENTS = 4, 3  # CLIENTS: of each kind


class Held:
    """The page under gunicorn with the options of its unit, on a socket that stays open during restarts."""

    def __init__(self, directory: Path) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        unit = render("systemd/pneumoctl-ui.service", root="/srv/pneumoctl", workers=1, threads=16, memory="80%")
        (command,) = re.findall(r"^ +sh (-P .*?\(\))$", unit, re.MULTILINE | re.DOTALL)
        self.options = shlex.split(command.replace("\\\n", "").replace("%t/pneumoctl-ui", str(directory)))
        environment = ui_environment(f"http://127.0.0.1:{free_port()}")
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment, "LISTEN_FDS": "1"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # The shell knows its process id and then becomes the server.
        argv = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", sys.executable, *self.options]
        inherited = self.socket.fileno()
        self.process = subprocess.Popen(
            argv,
            env=self._environment,
            pass_fds=(3,),
            preexec_fn=lambda: os.dup2(inherited, 3),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(120) == 0


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    made = Held(tmp_path)
    made.start()
    yield made
    made.stop()
    made.socket.close()


def test_a_restart_loses_no_request(held: Held) -> None:
    """Half of the clients keep their connections, the others ask for the end of each."""
    seen: dict[str, Counter[str]] = {"keep-alive": Counter(), "close": Counter()}
    ended = threading.Event()

    def ask(kind: str) -> None:
        http = urllib3.PoolManager(retries=False, timeout=60)
        while not ended.is_set():
            try:
                answer = http.request("GET", f"{held.url}/livez", headers={"Connection": kind})
                seen[kind][str(answer.status)] += 1
            except urllib3.exceptions.HTTPError as error:
                seen[kind][repr(error)] += 1

    clients = [threading.Thread(target=ask, args=(kind,)) for kind in seen for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for _ in range(RESTARTS):
        before = {kind: counted["200"] for kind, counted in seen.items()}
        while any(seen[kind]["200"] < before[kind] + 50 for kind in seen):  # the new server answers both
            time.sleep(0.05)
        held.stop()
        held.start()
    ended.set()
    for client in clients:
        client.join()
    assert all(set(counted) == {"200"} for counted in seen.values()), seen
