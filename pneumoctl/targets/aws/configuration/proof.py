"""Prove what serves: the hosts' running model, identified by digest, has scored a picture through the front door."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from model import bundle
from pneumoctl.accounts import proof_session
from pneumoctl.accounts.client import Accounts
from pneumoctl.errors import PneumoError
from pneumoctl.plan.steps import Step
from pneumoctl.plan.transport import Output
from pneumoctl.scoring.api_client import ApiClient, Refused
from pneumoctl.ssh import hosts as ssh_hosts
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.hosts import Hosts
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import api
from pneumoctl.targets.aws.configuration import desired
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
    """Runs the proof on this machine: a picture sent through the front door, as a person would upload it.

    `session`: opens a session of the page, and ends it.
    """

    door: health.WebEndpoint
    hosts: Hosts
    session: Callable[[], AbstractContextManager[str]]

    def pending(self, steps: Sequence[Step]) -> list[bool]:
        """See rollout.StepRunner."""
        return [True for _ in steps]

    def act(self, step: Step) -> tuple[str, Output]:
        """See rollout.StepRunner."""
        manifest = served(self.hosts)
        try:
            health.require_login(self.door)
            with self.session() as session:
                return "done", Output(0, json.dumps(health.gate(replace(self.door, session=session), manifest)), "")
        except Refused as error:
            raise health.failed(f"nobody can log in: {error.message}") from error
        except (health.NoAnswer, health.OtherCertificate) as error:
            unknown = f"{error.message}. Whether the releases are good is not known"
            link = ": this machine's link may be down" if isinstance(error, health.NoAnswer) else ""
            raise PneumoError(unknown + link, error.hint) from error


@contextmanager
def session(stack: Stack) -> Iterator[str]:
    """The token of a session of the page, which the API gives over SSH. Raises PneumoError."""
    with api.forwarded(stack) as endpoint, proof_session.opened(Accounts(ApiClient.of(endpoint))) as token:
        yield token


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


def served_models(stack: Stack) -> set[str]:
    """The models that the stack's hosts serve now. Raises PneumoError if a host does not answer."""
    stack_inventory = stack.hosts()
    names = [host.name for host in stack_inventory.hosts if host.role == "app"] if stack_inventory else []
    if not names:
        return set()
    with ssh_hosts.opened(stack, names, change=False) as hosts:
        for error in hosts.unreachable.values():
            raise error
        links = [links["model/current"] for links in desired.current_links(hosts).values() if "model/current" in links]
    return {Path(link).name for link in links}


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
