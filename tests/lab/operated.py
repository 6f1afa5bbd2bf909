"""A person who operates a stack in the lab: runs pneumoctl as they would, and sees every process that this starts."""

import json
import subprocess
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.machine.lab import Lab
from tests.lab.small import until

PAUSE_S = 0.01  # between two looks at the processes
LONGEST_S = 600.0  # of any command, on a machine that is busy
HOSTS = ("app-0", "app-1", "monitoring", "nginx", "web-0")  # those of the `Operator`'s settings
SHAPING = ("up", "teardown")  # what changes which hosts there are


@dataclass
class Operator:
    """Works with the stack `default`.

    settings: the environment's settings of the stack. applied: those of the last `up`, None if it did not end well.
    """

    lab: Lab
    settings: dict[str, str] = field(default_factory=lambda: {"PNEUMO_APP_COUNT": "2"})
    applied: dict[str, str] | None = None

    @property
    def directory(self) -> Path:
        """What pneumoctl keeps of the stack."""
        return self.lab.places.home / ".local/state/pneumoctl/default"

    def run(self, *words: str, code: int | None = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run pneumoctl; `settings` (as WEB_COUNT="2") are for this command alone."""
        environment = self._environment(settings)
        shapes = words[0] in SHAPING
        if shapes:
            self.applied = None
        done = self.lab.run(["pneumoctl", *words], code, timeout=LONGEST_S, env=environment)
        if shapes and done.returncode == 0:
            self.applied = environment
        return done

    def json(self, *words: str, code: int | None = 0, **settings: str) -> dict[str, Any]:
        """The document that a command prints."""
        end = words.index("--") if "--" in words else len(words)  # what follows is for another program
        document = json.loads(self.run(*words[:end], "--json", *words[end:], code=code, **settings).stdout)
        assert isinstance(document, dict)
        return document

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        """Start pneumoctl; whoever waits for an `up` sets `applied`."""
        if words[0] in SHAPING:
            self.applied = None
        return self.lab.start(["pneumoctl", *words], env=self._environment(settings))

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        return self.settings | {f"PNEUMO_{name}": value for name, value in settings.items()}

    def known(self, name: str) -> dict[str, Any]:
        """A host as the inventory has it."""
        hosts = json.loads((self.directory / "inventory.json").read_text())["hosts"]
        return next(one for one in hosts if one["name"] == name)

    def status(self, dead: Collection[str] = ()) -> dict[str, Any]:
        """What `status` says when AWS and every host but the dead ones have answered.

        It waits a few seconds only; a machine that is busy needs another try.
        """
        documents: list[dict[str, Any]] = []

        def answered() -> bool:
            documents.append(self.json("status", code=None))
            hosts = [one for one in documents[-1]["hosts"] if one["name"] in HOSTS and one["name"] not in dead]
            return not documents[-1]["aws"] and bool(hosts) and all(one["good"] for one in hosts)

        until("all living hosts to answer", answered)
        return documents[-1]

    def instance(self, name: str) -> str:
        """The id of a host as the inventory has it."""
        return str(self.known(name)["instance_id"])

    def state(self, identity: str) -> str:
        """The state of an instance, as EC2 says."""
        found = self.lab.client().describe_instances(InstanceIds=[identity])["Reservations"]
        return str(found[0]["Instances"][0]["State"]["Name"])


class Watch:
    """Sees command line and environment of each process that the operator starts, and of what those start."""

    def __init__(self, lab: Lab) -> None:
        self.seen: set[tuple[bytes, bytes]] = set()
        self._prefix = lab.places.prefix
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        roots = [Path(line.split()[1]) for line in Path("/proc/mounts").read_text().splitlines() if " cgroup2 " in line]
        members = roots[0] / self._prefix / "operator" / "cgroup.procs"
        while not self._end.wait(PAUSE_S):
            for process in _read(members).split():
                place = Path("/proc", process.decode())
                self.seen.add((_read(place / "cmdline"), _read(place / "environ")))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


@dataclass(frozen=True)
class Arrival:
    """The first `up`: its document, how many seconds it took, and what another `up` meanwhile was told."""

    document: dict[str, Any]
    seconds: float
    meanwhile: subprocess.CompletedProcess[str]


def arrive(operator: Operator) -> Arrival:
    """Bring the stack up from nothing."""
    started = time.monotonic()
    up = operator.start("up", "-y", "--json")
    while not (operator.directory / "terraform").exists() and up.poll() is None:
        time.sleep(0.1)
    meanwhile = operator.run("up", "-y", code=None)
    out, err = up.communicate(timeout=LONGEST_S)
    assert up.returncode == 0, f"the first `up` ended with {up.returncode}:\n{out}\n{err}"
    operator.applied = dict(operator.settings)
    return Arrival(json.loads(out), time.monotonic() - started, meanwhile)
