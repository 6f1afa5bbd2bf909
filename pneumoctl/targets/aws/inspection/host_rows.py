"""The rows of the hosts in the overview of a stack on aws, made from the answers to its queries. Pure."""

from collections.abc import Mapping
from typing import Any

from pneumoctl.aws.ec2 import Instance
from pneumoctl.errors import PneumoError
from pneumoctl.ssh import first_boot
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.targets.aws.inspection import faults, host_facts
from pneumoctl.targets.aws.inspection.cloud_state import CloudState
from pneumoctl.targets.aws.inspection.host_facts import HostFacts, Readiness

# The name of a host is that of the query for its facts; with one of these, of another query.
READINESS, PENDING = ": readiness", ": pending steps"
STATUS = "pneumoctl status"  # the hint of errors on the way to a host, which is no help here


def rows(inventory: Inventory | None, cloud: CloudState, answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each host of the inventory."""
    instances = {instance.id: instance for instance in cloud.instances}
    absent = "?" if cloud.error else "gone"  # a host that EC2 does not list
    made = []
    for host in inventory.hosts if inventory else ():
        row = _row(
            host, instances.get(host.instance_id), absent, answers.get(host.name), answers.get(host.name + PENDING)
        )
        row["leased"] = host.instance_id in cloud.leases
        said = _readiness(host, answers.get(host.name + READINESS, Readiness()))
        row |= {"not_ready": dict(said.not_ready)}
        row |= {"store_warning": said.store_warning, "clock_warning": said.clock_warning}
        row["received_warning"] = said.received_warning
        row["next"] = row["next"] or _restart(host, cloud.region)
        made.append({**row, "good": not any(faults.of_host(row))})
    return made


def _row(
    host: Host, instance: Instance | None, absent: str, facts: HostFacts | PneumoError | None, pending: Any
) -> dict[str, Any]:
    seen = facts if isinstance(facts, HostFacts) else None
    ssh, following = _boot(host, facts)
    return {
        "name": host.name,
        "role": host.role,
        "instance": host.instance_id,
        "type": host.type,
        "state": instance.state if instance else absent,
        "since": instance.launched.isoformat() if instance else None,
        "private": host.address,
        "public": host.public_address,
        "ssh": ssh,
        "next": following,
        "units": dict(seen.units) if seen else {},
        "failed": list(seen.failed) if seen else [],
        "releases": seen.releases if seen else {},
        "disk_percent": seen.disk if seen else None,
        "memory_percent": seen.memory if seen else None,
        "steps_pending": pending if isinstance(pending, int) else None,
    }


def _readiness(host: Host, answer: Readiness | PneumoError) -> Readiness:
    """What the services say. A service that was not asked in time has not said that it is ready."""
    if isinstance(answer, PneumoError):
        return Readiness(dict.fromkeys(host_facts.readiness_urls(host), answer.message))
    return answer


def _boot(host: Host, facts: HostFacts | PneumoError | None) -> tuple[str, str]:
    """The state of SSH to a host or of its boot, and the next command if it is known."""
    if isinstance(facts, HostFacts):
        log = f"pneumoctl ssh {host.name} -- sudo tail -n 50 {first_boot.LOG}"
        return ("booted" if facts.boot == "ok" else facts.boot or "no boot mark yet"), log
    if facts is None:
        return "", ""
    return facts.message, facts.hint if facts.hint != STATUS else ""


def _restart(host: Host, region: str) -> str:
    """The commands for a host that does not answer."""
    first = (
        "pneumoctl up, which repairs its address and rules" if host.role == "nginx" else f"pneumoctl ssh {host.name}"
    )
    return f"{first}; if it stays silent: aws ec2 reboot-instances --region {region} --instance-ids {host.instance_id}"
