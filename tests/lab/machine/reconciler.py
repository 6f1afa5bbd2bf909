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

from tests.lab.machine import cloud, firewall, image
from tests.lab.machine.hosts import REBOOTED, Host
from tests.lab.machine.network import Network
from tests.lab.machine.places import API, EXTERNAL_ADDRESSES, PORT, LabPaths

TICK = 0.1  # seconds between two checks of the hosts
LOOK = 5  # ticks between two checks of the API
EXTERNAL_NETWORK = firewall.ExternalNetwork(API, PORT, EXTERNAL_ADDRESSES)
WANTED = {"pending": "up", "running": "up", "stopping": "down", "stopped": "down"}


class Resident:
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
        self._residents: dict[str, Resident] = {}
        self._pool = ThreadPoolExecutor(4)
        self._listed: list[dict[str, Any]] = []
        self._states: dict[str, str] = {}
        self._last_call = -1
        self._ruleset = ""
        self._trouble = ""

    def run(self, stop: threading.Event) -> None:
        """Run until stopped. A failure is reported once and tried again."""
        cloud.await_api()
        for tick in range(sys.maxsize):
            if stop.wait(TICK):
                return
            steps: list[Callable[[], None]] = [self._watch, self._carry_out_requests]
            if tick % LOOK == 0:
                steps.append(self._look)
            try:
                for step in steps:
                    step()
                self._trouble = ""
            except Exception as reason:
                self._complain(f"{type(reason).__name__}: {reason}")
            self._publish()

    def _complain(self, trouble: str) -> None:
        if trouble != self._trouble:
            say(f"trouble, trying again: {trouble}")
        self._trouble = trouble

    # --- what the API wants -------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Compare with the API. The instances are only described again after something has changed."""
        states = cloud.control("GET", "instances")
        calls = cloud.control("GET", f"calls?mutating=true&since={max(self._last_call, 0)}")
        if states != self._states or calls["mutating"] or not self._ruleset:
            self._listed = cloud.instances(self._ec2)
            self._reload_firewall()
            self._states, self._last_call = states, calls["last"]
        for instance in self._listed:
            self._settle(instance)
        ids = {instance["InstanceId"] for instance in self._listed}
        for identity in [identity for identity in self._residents if identity not in ids]:
            self._discard(identity)

    def _settle(self, instance: dict[str, Any]) -> None:
        identity, wanted = instance["InstanceId"], WANTED.get(instance["State"]["Name"], "gone")
        resident = self._residents.get(identity)
        if resident is None:
            if wanted == "up":
                self._adopt(instance)
        elif resident.busy:
            return
        elif wanted == "gone":
            self._discard(identity)
        elif wanted == "down" and resident.state in ("up", "dead"):
            self._do(resident, "stopping", resident.host.stop, "down")
        elif wanted == "up" and resident.state == "down":
            self._do(resident, "booting", resident.host.boot, "up")

    def _adopt(self, instance: dict[str, Any]) -> None:
        address, name = instance["PrivateIpAddress"], cloud.short_name(instance)
        other = next((managed for managed in self._residents.values() if managed.host.address == address), None)
        if other:
            raise ValueError(f"{name} waits: {address} belongs to {other.name}")
        seed = cloud.seed(self._ec2, instance)
        host = Host(self._paths, self._network, self._image, instance["InstanceId"], address, seed)
        resident = self._residents[instance["InstanceId"]] = Resident(host, name)
        self._do(resident, "booting", lambda: (host.create(), host.boot()), "up")

    def _discard(self, identity: str) -> None:
        resident = self._residents[identity]
        if resident.state == "gone":
            del self._residents[identity]
        elif not resident.busy:
            self._do(resident, "removing", lambda: (resident.host.stop(), resident.host.remove()), "gone")

    def _reload_firewall(self) -> None:
        ruleset = firewall.ruleset(cloud.network(self._ec2, self._listed), EXTERNAL_NETWORK)
        if ruleset != self._ruleset:
            self._network.load(ruleset)
            say(f"firewall: {len(ruleset.splitlines())} lines")
            (self._paths.directory / "firewall.nft").write_text(ruleset)
        self._ruleset = ruleset

    # --- what the hosts do --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        for identity, resident in list(self._residents.items()):
            if resident.busy:
                continue
            code = resident.host.ended()
            if resident.state == "off":
                self._tell(identity, resident)
            elif code == REBOOTED:
                self._do(resident, "rebooting", lambda host=resident.host: (host.halt(), host.boot()), "up")
            elif code == 0:
                say(f"{resident.name} powered itself off")
                resident.host.halt()
                resident.state = "off"
            elif code is not None:
                say(f"{resident.name} died (exit code {code}); EC2 would not notice")
                resident.host.halt()
                resident.state = "dead"

    def _tell(self, identity: str, resident: Resident) -> None:
        """Tell the API that a host is off: stop or terminate the instance, according to its shutdown behaviour."""
        if cloud.shutdown_behaviour(self._ec2, identity) == "terminate":
            self._ec2.terminate_instances(InstanceIds=[identity])
        else:
            self._ec2.stop_instances(InstanceIds=[identity])
        resident.state = "down"

    def _carry_out_requests(self) -> None:
        """Carry out the requests of the lab's faults: `replace` (another machine, same address) or `reboot`."""
        for file in self._paths.hosts.glob("*/request"):
            resident = self._residents.get(file.parent.name)
            if resident is None or resident.busy:
                continue
            requested, host = file.read_text(), resident.host
            file.unlink()
            if requested == "replace":
                self._do(resident, "replacing", lambda host=host: (host.remove(), host.create(), host.boot()), "up")
            else:
                self._do(resident, "rebooting", lambda host=host: (host.stop(), host.boot()), "up")

    # --- how ----------------------------------------------------------------------------------------------------------

    def _do(self, resident: Resident, doing: str, act: Callable[[], object], then: str) -> None:
        def work() -> None:
            started = time.monotonic()
            try:
                act()
                resident.state = then
                say(f"{resident.name}: {then} after {time.monotonic() - started:.1f} s")
            except Exception as reason:
                resident.state = "dead"
                say(f"{resident.name}: {doing} failed: {reason}")

        say(f"{resident.name} ({resident.host.instance}, {resident.host.address}): {doing}")
        resident.state = doing
        resident.work = self._pool.submit(work)

    def _publish(self) -> None:
        """Write hosts.json, the state of all hosts, for the lab's commands."""
        states = {instance["InstanceId"]: instance for instance in self._listed}
        rows = [_row(managed, states.get(identity, {})) for identity, managed in self._residents.items()]
        text = json.dumps({"trouble": self._trouble, "hosts": rows})
        file = self._paths.directory / "hosts.json"
        if not file.exists() or file.read_text() != text:
            partial = Path(f"{file}.partial")
            partial.write_text(text)
            partial.replace(file)


def _row(resident: Resident, instance: dict[str, Any]) -> dict[str, Any]:
    process = resident.host.process
    return {
        "id": resident.host.instance,
        "name": resident.name,
        "private_ip": resident.host.address,
        "public_ip": instance.get("PublicIpAddress", ""),
        "api": instance.get("State", {}).get("Name", ""),
        "state": resident.state,
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
