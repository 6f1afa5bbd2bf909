"""One lab: bring it up, run commands in it, query its hosts, and end everything that it started."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from tests.lab.machine import cloud, home, image, logs, mounts, network, requirements
from tests.lab.machine.cgroups import Group, with_prefix
from tests.lab.machine.faults import Faults
from tests.lab.machine.overview import Overview
from tests.lab.machine.paths import API, EXTERNAL_ADDRESSES, PORT, ROOT, LabPaths, all_labs
from tests.lab.machine.vpc import firewall
from tests.lab.machine.vpc.description import Cloud, ExternalNetwork


class Lab:
    """A lab of this name. It may already be up, started by another process."""

    def __init__(self, name: str = "main") -> None:
        self.paths = LabPaths(name)
        self._network = network.Network(self.paths)
        self._group = Group(f"{self.paths.prefix}")
        self._clients: dict[tuple[str, str], Any] = {}
        self._overview = Overview(self.paths.directory / "hosts.json")
        self._programs: list[subprocess.Popen[bytes]] = []
        self.fault = Faults(self.paths, self.host, self.ask)

    # --- up and down --------------------------------------------------------------------------------------------------

    def up(self, report: Callable[[str], None] = lambda text: None) -> None:
        """Bring the lab up, unless it is; removes remains first. After a failure or Ctrl-C, nothing is left."""
        if self.is_up():
            return
        self.down()
        report("the image of the hosts (built once, a minute)")
        image.ensure()
        try:
            self._build(report)
        except BaseException:
            self.down()
            raise

    def _build(self, report: Callable[[str], None]) -> None:
        requirements.allow_inotify_instances()
        mirror = home.plugin_mirror()
        if mirror is None:
            raise RuntimeError(f"no folder {home.PROVIDER}: TF_PLUGIN_MIRROR names where it is")
        for path in (self.paths.logs, self.paths.hosts):
            path.mkdir(parents=True)
        self.paths.directory.chmod(0o700)
        home.create(self.paths, mirror)
        report("network")
        external = ExternalNetwork(API, PORT, EXTERNAL_ADDRESSES)
        self._network.create(firewall.ruleset(Cloud(), external))
        report("AWS API and reconciler")
        state = str(self.paths.directory)
        self._start_program("api", ["-m", "tests.lab.api", "--host", API, "--port", str(PORT), "--state", state])
        self._start_program("reconciler", ["-m", "tests.lab.machine.reconciler", self.paths.name])
        self._wait_for("the API", self._answers, 120)
        self._wait_for("the reconciler", self._overview.exists, 120)

    def down(self) -> None:
        """End everything that a lab of this name started, by any process. It need not exist."""
        self._clients.clear()  # their connections are in the network that ends here
        for group in [other for other in with_prefix(self.paths.prefix) if other.path == self.paths.prefix]:
            group.leave()
            group.kill_and_remove()
        while self._programs:
            self._programs.pop().wait(120)
        mounts.unmount_below(self.paths.directory)
        network.destroy(self.paths.named(""))
        for left in Path("/run/systemd/nspawn/propagate").glob(f"{self.paths.named('')}*"):
            left.rmdir()
        if self.paths.directory.exists():
            subprocess.run(["rm", "-rf", "--one-file-system", self.paths.directory], check=True)
        with suppress(OSError):  # other labs use it, or it does not exist
            all_labs().rmdir()

    def is_up(self) -> bool:
        """Whether its API answers and its reconciler runs."""
        reconciled = Group(f"{self.paths.prefix}/reconciler").populated() and self._overview.exists()
        return reconciled and self._answers()

    def _answers(self) -> bool:
        if self.paths.named("router") not in network.namespaces(self.paths.prefix):
            return False
        try:
            return bool(self.ask("GET", "health", timeout=2)["ok"])
        except OSError:
            return False

    # --- inside -------------------------------------------------------------------------------------------------------

    def command(self, argv: Sequence[str], namespace: str = "operator") -> list[str]:
        """The command that runs `argv` in the network of the operator, the stranger or a host, as a lab process."""
        at = self._namespace(namespace)
        group = Group(f"{self.paths.prefix}/{at}")
        group.create()
        return group.enter(self._network.inside(at, list(argv)))

    def environment(self) -> dict[str, str]:
        return home.environment(self.paths)

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a command as the operator; options as of Popen, `env` adds to the operator's environment."""
        merged = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        environment = {**self.environment(), **(env or {})}
        merged = {"cwd": self.paths.home, "start_new_session": True, "text": True, **merged}
        return subprocess.Popen(self.command(argv), env=environment, **merged)

    def run(
        self,
        argv: Sequence[str],
        code: int | None = 0,
        timeout: float = 600,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        cwd: Path | None = None,
        namespace: str = "operator",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the operator or in another network. Raises AssertionError if the exit code is not `code`."""
        result = subprocess.run(
            self.command(argv, namespace),
            env={**self.environment(), **(env or {})},
            cwd=cwd or self.paths.home,
            input=stdin,
            timeout=timeout,
            text=True,
            capture_output=True,
        )
        if code is not None and result.returncode != code:
            output = f"{result.stdout}\n{result.stderr}".strip()
            raise AssertionError(f"{' '.join(argv)} ended with {result.returncode}, not {code}:\n{output}")
        return result

    def client(self, service: str = "ec2", agent: str = "test") -> Any:
        """A boto3 client for this process, made once. Its requests are sent from the operator's network."""
        if (service, agent) not in self._clients:
            self._clients[service, agent] = cloud.client_through(self._network.in_network_of, service, agent)
        return self._clients[service, agent]

    def probe(self, namespace: str, address: str, port: int, timeout: float = 1.0) -> str:
        """The result of a TCP connection from a namespace: `open`, `refused` (nothing listens) or `silent`."""
        with self.in_network_of(namespace):
            return network.connection(address, port, timeout)

    def in_network_of(self, namespace: str) -> AbstractContextManager[None]:
        """Within `with`, the sockets of this thread are opened in this namespace."""
        return self._network.in_network_of(self._namespace(namespace))

    def ask(self, method: str, path: str, body: object = None, timeout: float = 60) -> Any:
        """Send a request to the lab's own HTTP interface below /lab/."""
        with self._network.in_network_of("operator"):
            return cloud.control(method, path, body, timeout)

    def reset(self) -> None:
        """Clean up after a test: end faults and the operator's processes, boot hosts that died."""
        self.fault.end_all()
        Group(f"{self.paths.prefix}/operator").kill()
        for host in self.hosts():
            if (host["state"], host["api"]) == ("dead", "running"):
                self.boot_dead_host(host["id"])

    def boot_dead_host(self, host: str) -> None:
        """Boot a host that died."""
        ec2, identity = self.client(), self.host(host)["id"]
        ec2.stop_instances(InstanceIds=[identity])
        self.wait_for_host(identity, "down")
        ec2.start_instances(InstanceIds=[identity])
        self.wait_for_host(identity, "up")

    # --- what is there ------------------------------------------------------------------------------------------------

    def hosts(self) -> list[dict[str, Any]]:
        """The rows of the overview."""
        return self._overview.hosts()

    def reconciler_failure(self) -> str:
        """What the reconciler failed to do at its last attempt; empty if it succeeded."""
        return self._overview.failure()

    def host(self, which: str) -> dict[str, Any]:
        """The existing host with a name, address or id. Raises KeyError if there is none."""
        return self._overview.host(which)

    def host_exists(self, which: str, state: str = "") -> bool:
        """Whether a host with this name, address or id exists and has this state."""
        with suppress(KeyError):
            return self.host(which)["state"] not in ("removing", "gone") and state in ("", self.host(which)["state"])
        return False

    def wait_for_host(self, which: str, state: str, timeout: float = 600) -> dict[str, Any]:
        """Wait until a host is `up`, `down` or `dead`. Raises TimeoutError with the reconciler's last messages."""

        def reached() -> bool:
            return any(
                host["state"] == state
                for host in self.hosts()
                if which in (host["id"], host["name"], host["private_ip"])
            )

        self._wait_for(f"{which} to be {state}", reached, timeout)
        return self.host(which)

    def calls(self, mutating: bool | None = None) -> list[dict[str, Any]]:
        """The calls made of the API since the last `reset_calls`."""
        only = "" if mutating is None else f"?mutating={str(mutating).lower()}"
        answer: list[dict[str, Any]] = self.ask("GET", f"calls{only}")["calls"]
        return answer

    def mutating_calls(self) -> list[dict[str, Any]]:
        return self.calls(mutating=True)

    def reset_calls(self) -> None:
        self.ask("POST", "calls/reset")

    def tail(self, lines: int = 30) -> str:
        """The last lines of all logs, of the calls to the API, and of the consoles of all hosts."""
        return logs.tail(self.paths.directory, lines)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _namespace(self, which: str) -> str:
        return which if which in EXTERNAL_ADDRESSES else str(self.host(which)["id"])

    def _start_program(self, name: str, argv: list[str]) -> None:
        """Start one of the lab's own programs in the router's network; it continues after this process ends."""
        names = ("PATH", "HOME", "XDG_CACHE_HOME", "PNEUMO_LABS")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        group = Group(f"{self.paths.prefix}/{name}")
        group.create()
        command = group.enter(self._network.inside("router", [sys.executable, "-u", *argv]))
        with (self.paths.logs / f"{name}.log").open("a") as log:
            files = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            program = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **files)
        self._programs.append(program)

    def _wait_for(self, what: str, reached: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not reached():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout:.0f} s in vain for {what}\n{self.tail(15)}")
            time.sleep(0.05)
