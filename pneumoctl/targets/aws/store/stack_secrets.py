"""The secrets of a stack on aws: made before its first hosts, and never again; read back from the hosts if lost here.

With other secrets, no stored result could be verified, and every one would count as damaged.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.hosts.layout import ETC
from pneumoctl.plan.differences import planned_files
from pneumoctl.plan.steps import Step
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from pneumoctl.ssh.hosts import Hosts
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.saved import SECRETS
from pneumoctl.stack.secrets import Secrets, from_environments, mac_keys
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.terminal.console import console

ENVIRONMENT = f"{ETC}/api.env"  # on every app host
CONFIGURED = "/var/lib/pneumoctl/steps.jsonl"  # on every host that a step was carried out on
_EXISTS = 'test ! -e "$1" || echo yes'
_NEW = "to give up what was stored and have new ones: pneumoctl secrets new"


def are_here(stack: Stack) -> bool:
    """Whether the secrets are on this machine."""
    try:
        return stack.secrets() is not None
    except Damaged:
        return False


def make_for_new_stack(context: Context) -> None:
    """Make and save the secrets of a stack that has no hosts yet, before anything is created in AWS."""
    if not are_here(context.stack) and not context.serving_hosts():
        save(context.stack, Secrets.generate())


def save(stack: Stack, secrets: Secrets) -> None:
    """Save the secrets; a damaged file is kept beside them."""
    path = stack.directory / SECRETS
    if path.exists() and not are_here(stack):
        path.replace(path.with_name(f"{SECRETS}.damaged"))
    stack.write(SECRETS, asdict(secrets))


def refuse_loss(context: Context, changes: Callable[[], Iterable[Change]]) -> None:
    """Raise PneumoError if the secrets are only on the hosts, and the plan would delete one of those."""
    if are_here(context.stack) or not context.serving_hosts():
        return
    doomed = [change.address for change in changes() if change.action in ("delete", "replace")]
    if lost := [address for address in doomed if address.startswith('aws_instance.host["app-')]:
        message = (
            f"{context.stack.directory / SECRETS} is missing, and the plan would delete hosts that have its content"
        )
        hint = f"correct the settings so that {', '.join(lost)} stays, then: pneumoctl up, which reads the secrets back"
        raise PneumoError(message, hint)


def refuse_older(stack: Stack, hosts: Hosts, todo: Mapping[str, Sequence[Step]]) -> None:
    """Raise PneumoError if a step would take a MAC key from a host that the secrets here do not have.

    The secrets here are then from before a rotation, as in a copy of the stack's directory, and what was stored since
    could not be read any more.
    """
    secrets = stack.require_secrets()
    known = {secrets.mac_key, *secrets.mac_keys_accepted}
    for host in hosts.inventory.hosts:
        if ENVIRONMENT in {put.path for put in planned_files(todo.get(host.name, ()))}:
            text = hosts.agents.read(host, [ENVIRONMENT])[0] or ""
            if not known.issuperset(mac_keys(text)):
                message = f"{stack.directory / SECRETS} is older than the secrets of {host.name}"
                hint = "restore the newest one; or take the secrets of the hosts: pneumoctl up --adopt"
                raise PneumoError(f"{message}, which has a key that it lacks. Nothing was changed", hint)


def read_back(context: Context, inventory: Inventory, adopt: bool = False) -> None:
    """Read the secrets back from the app hosts if they are missing here, or with `adopt` older; all must be up.

    Raises PneumoError if the hosts do not have them either, and Unreachable if one does not answer: it may have a key
    that the others lack.
    """
    stack = context.stack
    if are_here(stack) and not adopt:
        return
    found, configured = _ask(stack, inventory)
    if are_here(stack):
        _take_newer(stack, found)
    elif found:
        save(stack, from_environments(found.values()))
        console.note(f"the secrets were read back from {', '.join(found)}", "yellow")
    elif configured:
        path, hosts = stack.directory / SECRETS, ", ".join(configured)
        message = f"{path} is missing, and no app host has its content, although the stack was configured ({hosts})"
        raise PneumoError(message, f"restore {path} from a backup; or, {_NEW}")
    else:  # an earlier `up` did not come so far
        save(stack, Secrets.generate())


def _take_newer(stack: Stack, found: Mapping[str, str]) -> None:
    """Take the secrets of the hosts if those here lack one of their MAC keys; the keys here are kept, too."""
    here = stack.require_secrets()
    known = dict.fromkeys((here.mac_key, *here.mac_keys_accepted))
    if all(key in known for text in found.values() for key in mac_keys(text)):
        return
    there = from_environments(found.values())
    keys = (key for key in (*there.mac_keys_previous, *known) if key != there.mac_key)
    save(stack, replace(there, mac_keys_previous=tuple(dict.fromkeys(keys))))
    console.note(f"the secrets of {', '.join(found)} are newer, and were taken", "yellow")


def make_instead_of_lost(stack: Stack, inventory: Inventory) -> None:
    """Make new secrets in place of those that neither this machine nor a host has; all hosts must answer."""
    if are_here(stack):
        raise PneumoError("the stack's secrets are on this machine", "to replace them: pneumoctl secrets rotate")
    found, _ = _ask(stack, inventory)
    if found:
        message = f"the stack's secrets are on {', '.join(found)}"
        raise PneumoError(message, "pneumoctl up, which reads them back")
    save(stack, Secrets.generate())


def _ask(stack: Stack, inventory: Inventory) -> tuple[dict[str, str], list[str]]:
    """The environment of the API by host, and the hosts that were ever configured."""
    hosts = [host for host in inventory.hosts if host.role != "train"]
    with Connections(inventory, stack.ssh) as connections, ThreadPoolExecutor(len(hosts)) as pool:
        agents = Agents(connections, holder="", who="", run="")

        def ask(host: Host) -> tuple[str | None, bool]:
            environment = agents.read(host, [ENVIRONMENT])[0] if host.role == "app" else None
            configured = agents.read_output(host, ("sh", "-c", _EXISTS, "sh", CONFIGURED), "reading its state")
            return environment, bool(configured)

        answers = {host.name: answer for host, answer in zip(hosts, pool.map(ask, hosts), strict=True)}
    found = {name: text for name, (text, _) in answers.items() if text}
    return found, [name for name, (_, configured) in answers.items() if configured]
