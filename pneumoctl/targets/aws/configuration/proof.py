"""Prove what serves: the hosts' running model, identified by digest, has scored a picture through the front door."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from model import bundle
from pneumoctl.errors import PneumoError
from pneumoctl.plan.steps import Step
from pneumoctl.plan.transport import Output
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.hosts import Hosts
from pneumoctl.stack.inventory import Host
from pneumoctl.targets.common import health

HASHED_S = 60.0  # in which a host hashes the files of its model
# The process and not the link says what serves: a service resolves `current` when it starts.
# Prints the id of the process, 0 if there is none, and its bundle.
_RUNNING = r"""pid=$(systemctl show -P MainPID pneumoctl-api) || exit
echo "$pid"
test "$pid" != 0 || exit 0
environment=$(tr '\0' '\n' <"/proc/$pid/environ") || exit
echo "$environment" | sed -n 's/^MODEL_BUNDLE=//p'"""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class FrontDoor:
    """Runs the proof on this machine: a picture sent through the front door, as a person would upload it."""

    door: health.WebEndpoint
    hosts: Hosts

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        """See rollout.StepRunner."""
        return [True for _ in steps]

    def act(self, step: Step) -> tuple[str, Output]:
        """See rollout.StepRunner."""
        manifest = served(self.hosts)
        try:
            return "done", Output(0, json.dumps(health.gate(self.door, manifest)), "")
        except (health.NoAnswer, health.OtherCertificate) as error:
            unknown = f"{error.message}. Whether the releases are good is not known"
            link = ": this machine's link may be down" if isinstance(error, health.NoAnswer) else ""
            raise PneumoError(unknown + link, error.hint) from error


def served(hosts: Hosts) -> Manifest:
    """The manifest of the one model that all API hosts run. Raises PneumoError: exit 10 if there is none, 1 if unknown.

    Neither what the operator's machine has promoted nor what an answer says of itself counts.
    """
    apis = [host for host in hosts.inventory.hosts if host.role == "app"]
    with ThreadPoolExecutor(len(apis) or 1) as pool:
        manifests = list(pool.map(lambda host: _running(hosts.agents, host), apis))
    models = {_name(manifest): manifest for manifest in manifests}
    if len(models) != 1:
        pairs = zip(apis, manifests, strict=True)
        serves = ", ".join(f"{host.name} {_name(manifest)}" for host, manifest in pairs)
        raise health.failed(f"the hosts serve different models: {serves} (pneumoctl deploy model makes them the same)")
    return next(iter(models.values()))


def _running(agents: Agents, host: Host) -> Manifest:
    """The manifest of the model that the API of a host runs, after every file of it was hashed.

    A host that cannot say what it runs is no failed health gate: that would take back a release that may be good.
    """
    output = agents.run(host, ("sh", "-c", _RUNNING))
    process, _, root = output.stdout.strip().partition("\n")
    if process == "0":
        raise health.failed(f"the API on {host.name} does not run")
    if output.code or not root:
        raise _not_known(host, output.tail() or f"exit {output.code}")
    if changed := agents.check_releases(host, [root], HASHED_S):
        kind, path = changed[0]
        raise health.failed(f"the model on {host.name} is not the deployed one: {path} {kind}; deploy that model again")
    (content,) = agents.read(host, [f"{root}/{bundle.MANIFEST}"])
    try:
        manifest = bundle.read((content or "").encode())
    except bundle.BundleError as error:
        raise _not_known(host, f"this pneumoctl cannot read its {bundle.MANIFEST}: {error}") from error
    if _name(manifest) != PurePosixPath(root).name:
        raise health.failed(f"{root} on {host.name} contains {_name(manifest)}")
    return manifest


def _not_known(host: Host, why: str) -> PneumoError:
    return PneumoError(f"which model the API on {host.name} runs is not known: {why}", "pneumoctl status")


def _name(manifest: Manifest) -> str:
    return f"{manifest['name']}-{manifest['version']}"
