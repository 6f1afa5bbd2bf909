"""The state of a stack on aws as one document. Queries EC2, all hosts and the front door in parallel."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.errors import PneumoError
from pneumoctl.results import transfer
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import desired
from pneumoctl.targets.aws.configuration.desired import AvailableReleases
from pneumoctl.targets.aws.inspection import cloud_state, faults, host_facts, host_rows
from pneumoctl.targets.aws.inspection.host_facts import HostFacts, Readiness
from pneumoctl.targets.aws.inspection.host_rows import PENDING, READINESS
from pneumoctl.targets.common import faults as common_faults
from pneumoctl.targets.common import unfinished_teardown

TIMEOUT_S = 3.5  # for all answers together; a host without one by then is shown as not answering
READY_S = 8.5  # of services whose host has answered by then: a service may wait for Redis
CLOUD_S = 10.0  # only AWS knows whether a GPU host is billed, so it gets more time


def gather_status(
    settings: Settings, stack: Stack, inventory: Inventory | None, agents: Agents | None
) -> dict[str, Any]:
    """The state of the stack as one document. Raises PneumoError if AWS does not answer and nothing is known here."""
    questions = _questions(settings, stack, inventory, agents)
    longer = {"aws": CLOUD_S} | {name: READY_S for name in questions if name.endswith(READINESS)}
    answers = host_facts.within(TIMEOUT_S, questions, longer)
    cloud, terraform = answers["aws"], Terraform(stack.terraform, {}, stack.layout.logs)
    held = common_faults.working(stack)
    working = [*held, *_running(terraform)]
    if isinstance(cloud, PneumoError):
        cloud = cloud_state.without_answer(settings, stack, cloud)
    if cloud.error and inventory is None and not working:
        raise cloud.error
    hosts = host_rows.rows(inventory, cloud, answers)
    expected = {*cloud.leases, *(host["instance"] for host in hosts)}  # a spot instance has a lease alone
    strays = [instance for instance in cloud.instances if instance.id not in expected]
    unfinished = None if held else unfinished_teardown.find(stack)
    document = {
        "stack": settings.stack,
        "target": "aws",
        "region": cloud.region,
        "exists": bool(hosts or strays or working or terraform.suspect or unfinished),
        "address": inventory.bastion.public_address if inventory else "",
        "front_door": _front(settings, inventory, answers.get("front door")),
        "hosts": hosts,
        "strays": [{"instance": instance.id, "name": instance.name, "state": instance.state} for instance in strays],
        "elsewhere": stack.made_elsewhere,
        "directory": str(stack.directory),
        "working": working,
        "unfinished": terraform.suspect,
        "unfinished_teardown": unfinished,
        "not_imported": str(transfer.waiting(stack) or ""),
        **cloud.document(),
    }
    found = list(faults.of_stack(document))
    return {**document, "up": _is_up(document) and not found, "faults": common_faults.as_dicts(found)}


def _is_up(document: Mapping[str, Any]) -> bool:
    """Whether every host is as it should be and the page is served: a command that works may have stopped services."""
    hosts = document["hosts"]
    return bool(hosts) and all(host["good"] for host in hosts) and not document["front_door"]["error"]


def _running(terraform: Terraform) -> list[dict[str, Any]]:
    """The terraform that runs in the stack's directory, if there is one."""
    run = terraform.current
    return [{"command": run.command, "pid": run.pid, "since": run.since}] if run else []


def _questions(
    settings: Settings, stack: Stack, inventory: Inventory | None, agents: Agents | None
) -> dict[str, Callable[[], Any]]:
    """Name -> query: AWS, the facts, the readiness and the pending steps of each host, the front door."""
    questions: dict[str, Callable[[], Any]] = {"aws": partial(cloud_state.ask, settings, stack)}
    if inventory and agents:
        releases = _available_releases(settings)
        for host in inventory.hosts:
            if host.role != "train":
                facts: Future[HostFacts] = Future()
                questions[host.name] = partial(_facts, agents, host, settings.backup_minutes > 0, facts)
                if host_facts.readiness_urls(host):
                    questions[host.name + READINESS] = partial(_readiness, agents, host, facts)
                questions[host.name + PENDING] = partial(_pending, settings, stack, host, agents, facts, releases)
        questions["front door"] = lambda: host_facts.check_front_door(desired.front_door(stack, settings, inventory))
    return questions


def _available_releases(settings: Settings) -> AvailableReleases | None:
    """The releases of this pneumoctl, to compare the hosts with; None if they cannot be read."""
    try:
        return desired.available_releases(settings)
    except (OSError, ValueError, PneumoError):
        return None


def _facts(agents: Agents, host: Host, backups: bool, facts: Future[HostFacts]) -> HostFacts:
    """The facts that a host reports; also the result of the future `facts`."""
    try:
        facts.set_result(host_facts.see(agents, host, backups))
    except Exception as error:  # raised below, and to whoever waits
        facts.set_exception(error)
    return facts.result()


def _readiness(agents: Agents, host: Host, facts: Future[HostFacts]) -> Readiness:
    """What the services of a host say of themselves; a host that is silent is not asked."""
    facts.result(TIMEOUT_S)
    return host_facts.readiness(agents, host)


def _pending(
    settings: Settings,
    stack: Stack,
    host: Host,
    agents: Agents,
    facts: Future[HostFacts],
    releases: AvailableReleases | None,
) -> int | None:
    """The number of steps that `configure` would do on a host; None if the hosts cannot be compared."""
    if releases is None:
        return None
    return sum(agents.pending(host, host_facts.steps(settings, stack, host, facts.result(), releases)))


def _front(settings: Settings, inventory: Inventory | None, answer: Any) -> dict[str, Any]:
    """The answer of the front door, which is not good if its certificate has ended."""
    days = answer if isinstance(answer, float) else None
    error, following = (answer.message, answer.hint) if isinstance(answer, PneumoError) else ("", "")
    if days is not None and days <= 0:
        error, following = f"the certificate of the front door ended {-days:.1f} days ago", _renewal(settings)
    url = f"https://{inventory.bastion.public_address}" if inventory else ""
    serves = days is not None and not error
    following = following or ("pneumoctl logs nginx" if error else "")
    left = None if days is None else round(days, 1)
    return {"url": url, "serves": serves, "error": error, "next": following, "certificate_days": left}


def _renewal(settings: Settings) -> str:
    """The command that renews the certificate of the front door."""
    if settings.acme_email:
        return "pneumoctl ssh nginx -- sudo certbot renew"
    return f"{'renew yours, then: ' if settings.certificate else ''}pneumoctl configure"
