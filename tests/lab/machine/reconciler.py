"""Bring the hosts to the state in the API: boot, stop and remove them, and tell the API when one powers itself off."""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.lab.machine import cloud, image
from tests.lab.machine.hosts import REBOOTED, Host
from tests.lab.machine.network import Network
from tests.lab.machine.paths import API, EXTERNAL_ADDRESSES, PORT, LabPaths
from tests.lab.machine.vpc import firewall
from tests.lab.machine.vpc.description import ExternalNetwork

TICK = 0.1  # seconds between two checks of the hosts
API_CHECK_TICKS = 5  # ticks between two checks of the API
EXTERNAL_NETWORK = ExternalNetwork(API, PORT, EXTERNAL_ADDRESSES)
DESIRED_STATES = {"pending": "up", "running": "up", "stopping": "down", "stopped": "down"}


class ManagedHost:
    """A host and its state: booting, up, stopping, down (shut down), dead (ended unexpectedly), gone."""

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name = host, name
        self.state = "down"
        self.work: Future[None] | None = None

    @property
    def busy(self) -> bool:
        return self.work is not None and not self.work.done()


class Reconciler:
    def __init__(self, paths: LabPaths) -> None:
        self._paths = paths
        self._network = Network(paths)
        self._image = image.ensure()
        self._ec2 = cloud.client()
        self._managed_hosts: dict[str, ManagedHost] = {}
        self._pool = ThreadPoolExecutor(4)
        self._listed: list[dict[str, Any]] = []
        self._states: dict[str, str] = {}
        self._last_call = -1
        self._ruleset = ""
        self._failure = ""

    def run(self, stop: threading.Event) -> None:
        """Run until stopped. A failure is reported once and tried again."""
        cloud.wait_for_api()
        for tick in range(sys.maxsize):
            if stop.wait(TICK):
                return
            steps: list[Callable[[], None]] = [self._watch, self._carry_out_requests]
            if tick % API_CHECK_TICKS == 0:
                steps.append(self._compare_with_api)
            try:
                for step in steps:
                    step()
                self._failure = ""
            except Exception as reason:
                self._report_failure(f"{type(reason).__name__}: {reason}")
            self._publish()

    def _report_failure(self, failure: str) -> None:
        if failure != self._failure:
            say(f"failed, trying again: {failure}")
        self._failure = failure

    # --- the desired state --------------------------------------------------------------------------------------------

    def _compare_with_api(self) -> None:
        """Compare with the API. The instances are only described again after something has changed."""
        states = cloud.control("GET", "instances")
        calls = cloud.control("GET", f"calls?mutating=true&since={max(self._last_call, 0)}")
        if states != self._states or calls["mutating"] or not self._ruleset:
            self._listed = cloud.instances(self._ec2)
            self._reload_firewall()
            self._states, self._last_call = states, calls["last"]
        for instance in self._listed:
            self._reconcile(instance)
        ids = {instance["InstanceId"] for instance in self._listed}
        for identity in [identity for identity in self._managed_hosts if identity not in ids]:
            self._remove(identity)

    def _reconcile(self, instance: dict[str, Any]) -> None:
        identity, desired = instance["InstanceId"], DESIRED_STATES.get(instance["State"]["Name"], "gone")
        managed = self._managed_hosts.get(identity)
        if managed is None:
            if desired == "up":
                self._create(instance)
        elif managed.busy:
            return
        elif desired == "gone":
            self._remove(identity)
        elif desired == "down" and managed.state in ("up", "dead"):
            self._run_in_background(managed, "stopping", managed.host.stop, "down")
        elif desired == "up" and managed.state == "down":
            user_data, host = cloud.seed(self._ec2, instance).user_data, managed.host
            self._run_in_background(managed, "booting", lambda: (host.set_user_data(user_data), host.boot()), "up")

    def _create(self, instance: dict[str, Any]) -> None:
        address, name = instance["PrivateIpAddress"], cloud.short_name(instance)
        other = next((managed for managed in self._managed_hosts.values() if managed.host.address == address), None)
        if other:
            raise ValueError(f"{name} waits: {address} belongs to {other.name}")
        seed = cloud.seed(self._ec2, instance)
        host = Host(self._paths, self._network, self._image, instance["InstanceId"], address, seed)
        managed = self._managed_hosts[instance["InstanceId"]] = ManagedHost(host, name)
        self._run_in_background(managed, "booting", lambda: (host.create(), host.boot()), "up")

    def _remove(self, identity: str) -> None:
        managed = self._managed_hosts[identity]
        if managed.state == "gone":
            del self._managed_hosts[identity]
        elif not managed.busy:
            self._run_in_background(managed, "removing", lambda: (managed.host.stop(), managed.host.remove()), "gone")

    def _reload_firewall(self) -> None:
        ruleset = firewall.ruleset(cloud.network(self._ec2, self._listed), EXTERNAL_NETWORK)
        if ruleset != self._ruleset:
            self._network.load(ruleset)
            say(f"firewall: {len(ruleset.splitlines())} lines")
            (self._paths.directory / "firewall.nft").write_text(ruleset)
        self._ruleset = ruleset

    # --- what the hosts do --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        for identity, managed in list(self._managed_hosts.items()):
            if managed.busy:
                continue
            code = managed.host.ended()
            if managed.state == "off":
                self._report_power_off(identity, managed)
            elif code == REBOOTED:
                self._run_in_background(
                    managed, "rebooting", lambda host=managed.host: (host.halt(), host.boot()), "up"
                )
            elif code == 0:
                say(f"{managed.name} powered itself off")
                managed.host.halt()
                managed.state = "off"
            elif code is not None:
                say(f"{managed.name} died (exit code {code}); EC2 would not notice")
                managed.host.halt()
                managed.state = "dead"

    def _report_power_off(self, identity: str, managed: ManagedHost) -> None:
        """Tell the API that a host is off: stop or terminate the instance, according to its shutdown behaviour."""
        if cloud.shutdown_behaviour(self._ec2, identity) == "terminate":
            self._ec2.terminate_instances(InstanceIds=[identity])
        else:
            self._ec2.stop_instances(InstanceIds=[identity])
        managed.state = "down"

    def _carry_out_requests(self) -> None:
        """Carry out the requests of the lab's faults: `replace` (another machine, same address) or `reboot`."""
        for file in self._paths.hosts.glob("*/request"):
            managed = self._managed_hosts.get(file.parent.name)
            if managed is None or managed.busy:
                continue
            requested, host = file.read_text(), managed.host
            file.unlink()
            if requested == "replace":
                self._run_in_background(
                    managed, "replacing", lambda host=host: (host.remove(), host.create(), host.boot()), "up"
                )
            else:
                self._run_in_background(managed, "rebooting", lambda host=host: (host.stop(), host.boot()), "up")

    # --- how ----------------------------------------------------------------------------------------------------------

    def _run_in_background(
        self, managed: ManagedHost, activity: str, act: Callable[[], object], next_state: str
    ) -> None:
        def work() -> None:
            started = time.monotonic()
            try:
                act()
                managed.state = next_state
                say(f"{managed.name}: {next_state} after {time.monotonic() - started:.1f} s")
            except Exception as reason:
                managed.state = "dead"
                say(f"{managed.name}: {activity} failed: {reason}")

        say(f"{managed.name} ({managed.host.instance}, {managed.host.address}): {activity}")
        managed.state = activity
        managed.work = self._pool.submit(work)

    def _publish(self) -> None:
        """Write hosts.json, the state of all hosts, for the lab's commands."""
        states = {instance["InstanceId"]: instance for instance in self._listed}
        rows = [_row(managed, states.get(identity, {})) for identity, managed in self._managed_hosts.items()]
        text = json.dumps({"failure": self._failure, "hosts": rows})
        file = self._paths.directory / "hosts.json"
        if not file.exists() or file.read_text() != text:
            partial = Path(f"{file}.partial")
            partial.write_text(text)
            partial.replace(file)


def _row(managed: ManagedHost, instance: dict[str, Any]) -> dict[str, Any]:
    process = managed.host.process
    return {
        "id": managed.host.instance,
        "name": managed.name,
        "private_ip": managed.host.address,
        "public_ip": instance.get("PublicIpAddress", ""),
        "api": instance.get("State", {}).get("Name", ""),
        "state": managed.state,
        "pid": process.pid if process else 0,
    }


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S.%f}"[:12], text, flush=True)


def main(name: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Reconciler(LabPaths(name)).run(stop)


if __name__ == "__main__":
    main(sys.argv[1])
