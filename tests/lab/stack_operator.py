"""The operator of a stack in the lab: runs pneumoctl as a user would, and records every process that it starts."""

import json
import subprocess
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.machine.lab import Lab
from tests.lab.wait import wait_for

PAUSE_S = 0.03  # between two scans of the processes
COMMAND_TIMEOUT_S = 1500.0  # time limit of a command: only ends what hangs, also on a busy machine
HOSTS = ("app-0", "app-1", "monitoring", "nginx", "web-0")  # the hosts with the default settings of `Operator`
HOST_COMMANDS = ("up", "teardown")  # commands that create or remove hosts
DEFAULT_MODEL = "dag-kermany"  # the model that is deployed if no other is promoted


@dataclass
class Operator:
    """Works with the stack `default`.

    settings: the stack's settings as environment variables. applied: those of the last `up`, None if it failed.
    original: kind of release -> whether the current and the previous one are those that `up` deploys.
    """

    lab: Lab
    settings: dict[str, str] = field(default_factory=lambda: {"PNEUMO_APP_COUNT": "2"})
    applied: dict[str, str] | None = None
    original: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    promoted: bool = False

    @property
    def directory(self) -> Path:
        """The directory in which pneumoctl stores the stack."""
        return self.lab.paths.home / ".local/state/pneumoctl/default"

    def run(self, *arguments: str, code: int | None = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run pneumoctl. `settings` (for example WEB_COUNT="2") apply to this command only."""
        environment = self._environment(settings)
        changes_hosts = arguments[0] in HOST_COMMANDS
        if changes_hosts:
            self.applied = None
        result = self.lab.run(["pneumoctl", *arguments], code, timeout=COMMAND_TIMEOUT_S, env=environment)
        if changes_hosts and result.returncode == 0:
            self.applied = environment
        if result.returncode == 0:
            self._record(*arguments)
        return result

    def restore_releases(self) -> None:
        """Deploy what `up` deploys, in place of the releases of a test."""
        if self.promoted:
            self.run("model", "promote", DEFAULT_MODEL, "--force", "--reason", "the test has ended")
            self.promoted, self.original["model"] = False, (False, False)
        for kind, (current, _) in list(self.original.items()):
            if not current:
                self.run("deploy", kind, "-y")
        self.original.clear()

    def _record(self, command: str, kind: str = "", *_: str) -> None:
        current, previous = self.original.get(kind, (True, True))
        if command in HOST_COMMANDS:
            self.original.clear()
        elif command == "deploy":
            self.original[kind] = (False, current)
        elif command == "rollback":
            self.original[kind] = (previous, current)
        elif (command, kind) == ("model", "promote"):
            self.promoted = True

    def json(self, *arguments: str, code: int | None = 0, **settings: str) -> dict[str, Any]:
        """The document that a command prints."""
        end = arguments.index("--") if "--" in arguments else len(arguments)  # the rest is for another program
        document = json.loads(self.run(*arguments[:end], "--json", *arguments[end:], code=code, **settings).stdout)
        assert isinstance(document, dict)
        return document

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Start pneumoctl. A caller that waits for an `up` must set `applied`."""
        if arguments[0] in HOST_COMMANDS:
            self.applied = None
        return self.lab.start(["pneumoctl", *arguments], env=self._environment(settings))

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        return self.settings | {f"PNEUMO_{name}": value for name, value in settings.items()}

    def inventory_host(self, name: str) -> dict[str, Any]:
        """A host in the inventory."""
        hosts = json.loads((self.directory / "inventory.json").read_text())["hosts"]
        return next(host for host in hosts if host["name"] == name)

    def status(self, unreachable: Collection[str] = ()) -> dict[str, Any]:
        """The output of `status` after AWS and every host except `unreachable` have answered.

        It only waits a few seconds, so it is repeated on a busy machine.
        """
        documents: list[dict[str, Any]] = []

        def answered() -> bool:
            documents.append(self.json("status", code=None))
            hosts = [
                host for host in documents[-1]["hosts"] if host["name"] in HOSTS and host["name"] not in unreachable
            ]
            return not documents[-1]["aws_error"] and bool(hosts) and all(host["good"] for host in hosts)

        wait_for("all reachable hosts to answer", answered)
        return documents[-1]

    def instance_id(self, name: str) -> str:
        """The instance id of a host in the inventory."""
        return str(self.inventory_host(name)["instance_id"])

    def state(self, instance: str) -> str:
        """The state of an instance according to EC2."""
        reservations = self.lab.client().describe_instances(InstanceIds=[instance])["Reservations"]
        return str(reservations[0]["Instances"][0]["State"]["Name"])


class ProcessRecorder:
    """Records the command line and environment of the processes of the operator that live longer than PAUSE_S."""

    def __init__(self, lab: Lab) -> None:
        self.processes: set[tuple[bytes, bytes]] = set()
        self._prefix = lab.paths.prefix
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._record_processes, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _record_processes(self) -> None:
        roots = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line]
        members = roots[0] / self._prefix / "operator" / "cgroup.procs"
        while not self._end.wait(PAUSE_S):
            for process in _read(members).split():
                process_dir = Path("/proc", process.decode())
                self.processes.add((_read(process_dir / "cmdline"), _read(process_dir / "environ")))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""
