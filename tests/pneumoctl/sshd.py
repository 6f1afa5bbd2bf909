"""Real SSH servers as the hosts of a stack, a bastion and private hosts, on the loopback."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pneumoctl.ssh import keys
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.stack import Cloud, Stack
from tests import needs

NAMES = ("nginx", "web-0", "app-0", "monitoring")
SUDO = """#!/bin/sh
# Admits only what the hosts' sudo must: no password, no option after it.
test "$1" = -n && test "$2" = -- || exit 9
shift 2
exec "$@"
"""
CONFIG = """
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
UseDNS no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp /bin/false
SetEnv PATH={path}
"""


@dataclass
class Server:
    """One sshd."""

    folder: Path
    address: str
    port: int
    namespace: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def key(self) -> str:
        """The host key, as "type base64"."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def new_key(self) -> None:
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / "host_key"))

    @property
    def inside(self) -> list[str]:
        """The start of a command that runs in the network of this host."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}"] if self.namespace else []

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [*self.inside, "/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "config")]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while b"Server listening" not in (self.folder / "log").read_bytes():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            (self.folder / "log").unlink()


@dataclass
class Farm:
    """The running servers, their inventory, and the stack's SSH folder with all keys pinned."""

    directory: Path
    user: str
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def inventory(self) -> Inventory:
        return Inventory(tuple(self.host(name) for name in self.servers))

    def host(self, name: str) -> Host:
        server, role = self.servers[name], name.split("-")[0]
        public = server.address if name == "nginx" else ""
        return Host(name, role, server.address, {"ssh": server.port}, f"i-{name}", public, self.user, "t3.small")

    def pin(self) -> None:
        (self.directory / keys.KNOWN_HOSTS).unlink(missing_ok=True)
        for name, server in self.servers.items():
            keys.pin(self.directory, self.host(name), server.key)
        (self.directory / keys.CONFIG).write_text(keys.ssh_config(self.inventory, self.directory))

    @contextmanager
    def cut(self, name: str) -> Iterator[None]:
        """Drop all packets between the bastion and this host, or between the operator and the bastion."""
        space, table = self.servers["nginx"].namespace, name.replace("-", "_")
        address = OPERATOR if name == "nginx" else self.servers[name].address
        inside = ("nsenter", f"--net=/run/netns/{space}", "nft")
        for words in (
            f"add table ip {table}",
            f"add chain ip {table} out {{ type filter hook output priority 0 ; }}",
            f"add chain ip {table} in {{ type filter hook input priority 0 ; }}",
            f"add rule ip {table} out ip daddr {address} drop",
            f"add rule ip {table} in ip saddr {address} drop",
        ):
            call(*inside, words)
        try:
            yield
        finally:
            call(*inside, f"delete table ip {table}")

    @contextmanager
    def tongue_tied(self, name: str) -> Iterator[None]:
        """Replace the host's server by one that sends its version string and then nothing."""
        server = self.servers[name]
        server.stop()
        script = (
            "import socket, sys\nkept = []\nserver = socket.create_server((sys.argv[1], int(sys.argv[2])))\n"
            "print('listens', flush=True)\nwhile True:\n    kept.append(server.accept()[0])\n"
            "    kept[-1].sendall(b'SSH-2.0-OpenSSH_9.2\\r\\n')\n"
        )
        argv = [*server.inside, sys.executable, "-c", script, server.address, str(server.port)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as mute:
            try:
                assert mute.stdout is not None and mute.stdout.readline()
                yield
            finally:
                mute.kill()
        server.start()


OPERATOR = "198.51.100.1"


def call(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def servers_of(
    root: Path, address_of: Callable[[int], tuple[str, int, str]], stack: ExitStack, names: Sequence[str] = NAMES
) -> Farm:
    """Start one server for each name. `address_of`: number -> (address, port, namespace)."""
    if not Path("/usr/sbin/sshd").exists() or not shutil.which("ssh"):
        pytest.skip(needs.SSH)
    root.mkdir(exist_ok=True)
    directory = root / "a stack's %d" / "ssh"
    authorized = keys.key_pair(directory)
    path = f"{root}/bin:{os.environ['PATH']}"
    (root / "bin").mkdir()
    (root / "bin" / "sudo").write_text(SUDO)
    (root / "bin" / "sudo").chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True, mode=0o755)
    farm = Farm(directory, getpass.getuser())
    for number, name in enumerate(names):
        address, port, namespace = address_of(number)
        folder = root / name
        folder.mkdir()
        (folder / "authorized_keys").write_text(authorized + "\n")
        (folder / "config").write_text(CONFIG.format(port=port, address=address, folder=folder, path=path))
        server = farm.servers[name] = Server(folder, address, port, namespace)
        server.new_key()
        server.start()
        stack.callback(server.stop)
    farm.pin()
    return farm


@contextmanager
def on_loopback(root: Path, names: Sequence[str] = NAMES) -> Iterator[Farm]:
    """Hosts on the loopback, each with an address that no other process uses; needs no privileges."""
    network = f"127.{1 + os.getpid() // 254 % 254}.{1 + os.getpid() % 254}"
    with ExitStack() as stack, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        yield servers_of(root, lambda number: (f"{network}.{number + 2}", port, ""), stack, names)


class User:
    """Runs pneumoctl as a process. The stack `t` consists of these servers, as `up` would have left it."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.state = farm.directory.parents[1] / "state"
        stack = Stack("t", self.state / "pneumoctl" / "t")
        stack.save_cloud(Cloud("eu-central-1", "", "111111111111", ""))
        stack.save_hosts(farm.inventory)
        farm.directory.rename(stack.ssh)
        farm.directory = stack.ssh
        farm.pin()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")}
        source = str(Path(__file__).parents[2])
        self.environment = {**environment, "XDG_STATE_HOME": str(self.state), "PNEUMO_STACK": "t", "PYTHONPATH": source}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pneumoctl", *words]

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.argv(*words),
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0, **environment: str) -> "subprocess.CompletedProcess[str]":
        child = self.start(*words, **environment)
        try:
            out, err = child.communicate(timeout=240)
        finally:
            child.kill()
        assert child.returncode == code, f"pneumoctl {words}: {child.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(words, child.returncode, out, err)
