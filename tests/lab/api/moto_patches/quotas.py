"""Service quotas: their values, and their enforcement by EC2."""

import json
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_ip_addresses import ElasticAddressBackend
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.responses import ServiceQuotasResponse

from tests.lab.api.moto_patches.patch import replaces
from tests.lab.api.state import ACCOUNT, current_state


@dataclass(frozen=True)
class Quota:
    service: str
    code: str
    name: str
    value: float
    adjustable: bool = True


STANDARD, GRAPHICS, VOLTA = "L-1216C47A", "L-DB2E81BA", "L-417A185B"
ADDRESSES, VPCS = "L-0263D0A3", "L-F678F1CE"
FAMILIES = {"g": GRAPHICS, "vt": GRAPHICS, "p": VOLTA}  # all other families are standard
QUOTAS = (
    Quota("ec2", STANDARD, "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 32),
    Quota("ec2", GRAPHICS, "Running On-Demand G and VT instances", 8),
    Quota("ec2", VOLTA, "Running On-Demand P instances", 8),
    Quota("ec2", "L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 32),
    Quota("ec2", "L-3819A6DF", "All G and VT Spot Instance Requests", 8),
    Quota("ec2", "L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", 8),
    Quota("ec2", ADDRESSES, "EC2-VPC Elastic IPs", 5),
    Quota("vpc", VPCS, "VPCs per Region", 5),
    Quota("vpc", "L-A4707A72", "Internet gateways per Region", 5),
    Quota("vpc", "L-FE5A380F", "NAT gateways per Availability Zone", 5),
    Quota("vpc", "L-0EA8095F", "Inbound or outbound rules per security group", 60),
)


def value(code: str) -> float:
    """The value in a fault of kind `quota`, else that of the account."""
    override = current_state().faults.quota(code)
    return next(quota.value for quota in QUOTAS if quota.code == code) if override is None else override


def _document(quota: Quota, region: str) -> dict[str, Any]:
    return {
        "ServiceCode": quota.service,
        "ServiceName": {"ec2": "Amazon Elastic Compute Cloud (Amazon EC2)"}.get(quota.service, quota.service),
        "QuotaArn": f"arn:aws:servicequotas:{region}:{ACCOUNT}:{quota.service}/{quota.code}",
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "Value": value(quota.code),
        "Unit": "None",
        "Adjustable": quota.adjustable,
        "GlobalQuota": False,
    }


def _get_quota(original: Any, self: Any) -> str:
    """Return one quota (moto has none of EC2)."""
    parameters = json.loads(self.body)
    for quota in QUOTAS:
        if (quota.service, quota.code) == (parameters.get("ServiceCode"), parameters.get("QuotaCode")):
            return json.dumps({"Quota": _document(quota, self.region)})
    raise NoSuchResource


def _list_quotas(original: Any, self: Any) -> str:
    """List the quotas of a service (moto has those of one service only)."""
    service = json.loads(self.body).get("ServiceCode")
    documents = [_document(quota, self.region) for quota in QUOTAS if quota.service == service]
    if not documents:
        raise NoSuchResource
    return json.dumps({"Quotas": documents})


for _name in ("get_service_quota", "get_aws_default_service_quota"):
    replaces(ServiceQuotasResponse, _name)(_get_quota)
for _name in ("list_service_quotas", "list_aws_default_service_quotas"):
    replaces(ServiceQuotasResponse, _name)(_list_quotas)


def code_of(kind: str) -> str:
    """The quota that an instance type counts against."""
    letters = kind.partition(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz-").rstrip("0123456789")
    return FAMILIES.get(letters, STANDARD)


def _check_quota(backend: Any, kind: str, count: int) -> None:
    """Raise EC2ClientError if `count` more instances of a type would exceed the quota."""
    limit = value(code_of(kind))
    running = [
        instance.instance_type
        for instance in backend.all_running_instances()
        if code_of(instance.instance_type) == code_of(kind)
    ]
    if sum(map(_processors, running)) + count * _processors(kind) > limit:
        text = (
            f"You have requested more vCPU capacity than your current vCPU limit of {limit:.0f} allows for the "
            "instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
        )
        raise EC2ClientError("VcpuLimitExceeded", text)


def _processors(kind: str) -> int:
    return int(INSTANCE_TYPES.get(kind, {}).get("VCpuInfo", {}).get("DefaultVCpus", 1))


@replaces(InstanceBackend, "run_instances")
def run(original: Any, self: Any, image_id: str, count: int, *args: Any, **kwargs: Any) -> Any:
    """Refuse instances beyond the quota, as EC2 does (moto runs any number)."""
    _check_quota(self, kwargs.get("instance_type", "m1.small"), count)
    return original(self, image_id, count, *args, **kwargs)


@replaces(InstanceBackend, "start_instances")
def start(original: Any, self: Any, instance_ids: list[str]) -> Any:
    """Refuse to start instances beyond the quota, as EC2 does (moto starts any number)."""
    for instance in self.get_multi_instances_by_id(instance_ids):
        if instance.state == "stopped":
            _check_quota(self, instance.instance_type, 1)
    return original(self, instance_ids)


@replaces(ElasticAddressBackend, "allocate_address")
def allocate(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """Refuse an address beyond the quota, as EC2 does (moto has no limit)."""
    if len(self.addresses) >= value(ADDRESSES):
        raise EC2ClientError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    return original(self, *args, **kwargs)


@replaces(VPCBackend, "create_vpc")
def create(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """Refuse a VPC beyond the quota, as EC2 does (moto has no limit)."""
    if len(self.vpcs) >= value(VPCS):
        raise EC2ClientError("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
    return original(self, *args, **kwargs)
