"""Check what the region offers and the account allows: instance types, vCPUs, addresses, VPCs."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pneumoctl.aws.ec2 import STACK_TAG, Aws
from pneumoctl.errors import PneumoError
from pneumoctl.stack.settings import Settings
from pneumoctl.targets.aws.provisioning import instance_types
from pneumoctl.targets.common.checks import Row

# Each group shares a subnet, and so a zone, which must offer all its types (terraform/network.tf).
SAME_ZONE = (("nginx_type", "monitoring_type"), ("web_type", "app_type"), ("gpu_type",))
SIZES = ("micro", "small", "medium", "large", "xlarge", "2xlarge")
GPUS = ("g4dn.xlarge", "g5.xlarge", "g6.xlarge", "g4dn.2xlarge", "g5.2xlarge", "g6.2xlarge", "p3.2xlarge")
ADDRESSES = 3  # nginx, monitoring, the NAT gateway
# The letters of an instance type's family -> the quota that counts its vCPUs.
_STANDARD, _G, _P = "L-1216C47A", "L-DB2E81BA", "L-417A185B"
QUOTAS = {_STANDARD: "standard", _G: "G and VT", _P: "P"}
_LETTERS = {"standard": _STANDARD, "g": _G, "gr": _G, "vt": _G, "p": _P}
_LETTERS |= dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), _STANDARD)
SPOT_QUOTAS = {_G: "L-3819A6DF", _P: "L-7212CCBC"}  # on-demand quota -> that of spot requests
SPOT_ROLE = "AWSServiceRoleForEC2Spot"
VPC_QUOTA = ("vpc", "L-F678F1CE")
ADDRESS_QUOTA = ("ec2", "L-0263D0A3")


@dataclass(frozen=True)
class QuotaUse:
    """An on-demand instance that counts against a quota now."""

    type: str
    ours: bool


def types(settings: Settings, aws: Aws) -> Iterator[Row]:
    """Whether one zone offers all types that must be in the same zone. A missing GPU type only fails with gpu_host."""
    offered = _offered(aws, {getattr(settings, name) for group in SAME_ZONE for name in group})
    for group in SAME_ZONE:
        wanted = {name: getattr(settings, name) for name in group}
        check = "types " + ", ".join(sorted(set(wanted.values())))
        common = set.intersection(*(offered[kind] for kind in wanted.values()))
        if common:
            yield Row(check, True, f"offered in {', '.join(sorted(common))}")
            continue
        if group == ("gpu_type",) and not settings.gpu_host:
            yield Row(check, True, f"not offered in {aws.region}: training will need another gpu_type or region")
            continue
        missing = {name: kind for name, kind in wanted.items() if not offered[kind]}
        if missing:
            name, kind = next(iter(missing.items()))
            yield Row(check, False, f"{kind} is not offered in {aws.region}", _instead(aws, name, kind))
        else:
            fix = f"set {' or '.join(wanted)} to another type: one zone must offer both"
            yield Row(check, False, f"no zone of {aws.region} offers {' and '.join(wanted.values())} together", fix)


def zones(aws: Aws, kind: str) -> list[str]:
    """The availability zones that offer an instance type, by name."""
    return sorted(_offered(aws, (kind,))[kind])


def _offered(aws: Aws, wanted: Iterable[str]) -> dict[str, set[str]]:
    """Instance type -> the availability zones that offer it, without local zones."""
    usual = [{"Name": "opt-in-status", "Values": ["opt-in-not-required"]}, {"Name": "state", "Values": ["available"]}]
    answer = aws.call("ec2", "describe_availability_zones", Filters=usual)
    zones = {zone["ZoneName"] for zone in answer["AvailabilityZones"]}
    offered: dict[str, set[str]] = {kind: set() for kind in wanted}
    for offering in _offerings(aws, sorted(offered)):
        offered[offering["InstanceType"]] |= {offering["Location"]} & zones
    return offered


def offered_gpus(aws: Aws) -> list[str]:
    """Types with a GPU that the region offers, of those that the training was made for."""
    return sorted({offering["InstanceType"] for offering in _offerings(aws, sorted(GPUS))})


def _offerings(aws: Aws, wanted: list[str]) -> Iterator[Mapping[str, Any]]:
    only = [{"Name": "instance-type", "Values": wanted}]
    arguments = {"LocationType": "availability-zone", "Filters": only}
    return aws.items("ec2", "describe_instance_type_offerings", "InstanceTypeOfferings", **arguments)


def _instead(aws: Aws, name: str, kind: str) -> str:
    """A fix that names the offered types, the most similar names first."""
    family = kind.split(".")[0]
    likely = {f"{prefix}.{size}" for prefix in (family, "t3", "t3a") for size in SIZES}
    others = sorted(
        {offering["InstanceType"] for offering in _offerings(aws, sorted({*GPUS} if name == "gpu_type" else likely))}
    )
    near = difflib.get_close_matches(kind, others, n=3, cutoff=0.0)
    return f"set {name} to a type that is" + (f": {', '.join(near)}" if near else "") + "; or use another region"


def quotas(settings: Settings, aws: Aws) -> Iterator[Row]:
    """Check each vCPU quota: the use by others in the account and the need of the stack must fit."""
    used = list(_quota_uses(aws, settings.stack))
    wanted = Counter({settings.nginx_type: 1})
    wanted.update({settings.monitoring_type: 1})
    wanted.update({settings.web_type: settings.web_count})
    wanted.update({settings.app_type: settings.app_count})
    training = Counter({settings.gpu_type: 1})
    cpus = _cpus(aws, {*wanted, *training, *(instance.type for instance in used)})

    def total(kinds: Mapping[str, int], code: str) -> int:
        return sum(count * cpus.get(kind, 0) for kind, count in kinds.items() if quota_of(kind) == code)

    for code in QUOTAS:
        later = total(wanted, code) + total(training, code)
        now = later if settings.gpu_host else total(wanted, code)
        if later:
            others = total(Counter(instance.type for instance in used if not instance.ours), code)
            yield _vcpus(aws, code, now, later, others)
    for kind in sorted(kind for kind in {**wanted, **training} if quota_of(kind) is None):
        yield Row(f"vCPU quota for {kind}", True, "not checked: its family has a quota of its own")


def _vcpus(aws: Aws, code: str, now: int, later: int, others: int) -> Row:
    check = f"vCPU quota {QUOTAS[code]} ({code})"
    value = _quota(aws, "ec2", code)
    if value is None:
        return Row(check, True, "Service Quotas does not report")
    free = value - others
    seen = f"{value:g}, others use {others}, this stack needs {now}"
    if later > now:
        seen += f" now and {later} in training"
        if now <= free < later:
            seen += ": request an increase before that"
    return Row(check, now <= free, seen, _more(aws, "ec2", code, others + later))


def spot(settings: Settings, aws: Aws) -> Iterator[Row]:
    """Whether `train --spot` could get its instance. Nothing else needs it, so neither row fails."""
    code = SPOT_QUOTAS.get(quota_of(settings.gpu_type) or "")
    if code:
        needed = _cpus(aws, {settings.gpu_type}).get(settings.gpu_type, 0)
        value = _quota(aws, "ec2", code)
        seen = "Service Quotas does not report" if value is None else f"{value:g}, train --spot needs {needed}"
        short = value is not None and value < needed
        more = f": request an increase before that ({_more(aws, 'ec2', code, needed)})" if short else ""
        yield Row(f"spot vCPU quota ({code})", True, f"{seen}{more}")
    yield Row("spot role", True, _spot_role(aws))


def _spot_role(aws: Aws) -> str:
    """The state of the role with which EC2 manages spot instances."""
    try:
        aws.call("iam", "get_role", RoleName=SPOT_ROLE)
    except PneumoError as error:
        if error.details.get("aws_code") == "NoSuchEntity":
            make = "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com"
            return f"{SPOT_ROLE} is missing; before the first train --spot: {make}"
        return f"not known: {error.message}"
    return SPOT_ROLE


def quota_of(kind: str) -> str | None:
    """The code of the quota that counts a type's vCPUs; None for a family with a quota of its own."""
    letters = re.match(r"[a-z]+", kind)
    return _LETTERS.get(letters[0]) if letters else None


def addresses(settings: Settings, aws: Aws) -> Iterator[Row]:
    """Check the quota of Elastic IPs. Those of this stack do not count as used."""
    used = aws.call("ec2", "describe_addresses")["Addresses"]
    yield _room(settings, aws, "elastic IPs", ADDRESS_QUOTA, used, ADDRESSES)


def vpcs(settings: Settings, aws: Aws) -> Iterator[Row]:
    """Check the quota of VPCs. That of this stack does not count as used."""
    yield _room(settings, aws, "VPCs", VPC_QUOTA, aws.items("ec2", "describe_vpcs", "Vpcs"), 1)


def _room(
    settings: Settings, aws: Aws, check: str, quota: tuple[str, str], used: Iterable[Mapping[str, Any]], needed: int
) -> Row:
    others = sum(not _ours(resource, settings.stack) for resource in used)
    limit = _quota(aws, *quota)
    if limit is None:
        return Row(check, True, f"others use {others}; Service Quotas does not report the limit")
    seen = f"{limit:g} allowed, others use {others}, this stack needs {needed}"
    fix = f"delete some that you do not need, or {_more(aws, *quota, others + needed)}"
    return Row(check, others + needed <= limit, seen, fix)


def _ours(resource: Mapping[str, Any], stack: str) -> bool:
    return {"Key": STACK_TAG, "Value": stack} in resource.get("Tags", ())


def _more(aws: Aws, service: str, code: str, wanted: int) -> str:
    return (
        f"aws service-quotas request-service-quota-increase --region {aws.region} --service-code {service} "
        f"--quota-code {code} --desired-value {wanted}"
    )


def _quota_uses(aws: Aws, stack: str) -> Iterator[QuotaUse]:
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    for reservation in aws.items("ec2", "describe_instances", "Reservations", Filters=running):
        for instance in reservation["Instances"]:
            if instance.get("InstanceLifecycle") != "spot":
                yield QuotaUse(instance["InstanceType"], _ours(instance, stack))


def _cpus(aws: Aws, kinds: Iterable[str]) -> dict[str, int]:
    types = instance_types.describe(aws, set(kinds))
    return {kind: described["VCpuInfo"]["DefaultVCpus"] for kind, described in types.items()}


def _quota(aws: Aws, service: str, code: str) -> float | None:
    """The account's own value, else AWS's default."""
    for operation in ("get_service_quota", "get_aws_default_service_quota"):
        try:
            quota = aws.call("service-quotas", operation, ServiceCode=service, QuotaCode=code)["Quota"]
            return float(quota["Value"])
        except PneumoError as error:
            if error.details.get("aws_code") != "NoSuchResourceException":
                raise
    return None
