"""Instance types: add older GPU types, and say which types a zone offers."""

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import (
    INSTANCE_TYPE_OFFERINGS,
    INSTANCE_TYPES,
    InstanceType,
    InstanceTypeBackend,
    InstanceTypeOfferingBackend,
)
from moto.ec2.models.instances import InstanceBackend

from tests.lab.api.moto_patches.patch import replaces
from tests.lab.api.state import current_state

SIMILAR_TYPE = "g5.2xlarge"
# Types that moto lacks: such an instance can be created, but then terminating it hangs. Name -> GPU and vCPUs.
MISSING = {"p3.2xlarge": ("V100", 8), "p2.xlarge": ("K80", 4), "g3.4xlarge": ("M60", 16)}


def _add(kind: str, gpu: str, cpus: int) -> None:
    gpus = [{"Name": gpu, "Manufacturer": "NVIDIA", "Count": 1, "MemoryInfo": {"SizeInMiB": 16384}}]
    INSTANCE_TYPES[kind] = {
        **INSTANCE_TYPES[SIMILAR_TYPE],
        "InstanceType": kind,
        "VCpuInfo": {"DefaultVCpus": cpus, "DefaultCores": cpus // 2, "DefaultThreadsPerCore": 2},
        "MemoryInfo": {"SizeInMiB": 62464},
        "GpuInfo": {"Gpus": gpus, "TotalGpuMemoryInMiB": 16384},
    }
    InstanceTypeBackend.instance_types.append(InstanceType(kind))
    for regions in INSTANCE_TYPE_OFFERINGS.values():
        for offers in regions.values():
            offers.extend(
                [{**offer, "InstanceType": kind} for offer in offers if offer["InstanceType"] == SIMILAR_TYPE]
            )


for _kind, (_gpu, _cpus) in MISSING.items():
    if _kind not in INSTANCE_TYPES:
        _add(_kind, _gpu, _cpus)


@replaces(InstanceTypeOfferingBackend, "describe_instance_type_offerings")
def offerings(original: Any, self: Any, location_type: str | None = None, filters: Any = None) -> Any:
    """List the types that AWS offers, except those that a fault of the lab withdraws (moto lists all)."""
    zoned = location_type == "availability-zone"
    offers = original(self, location_type, filters)
    faults = current_state().faults
    return [offer for offer in offers if faults.offered(offer["InstanceType"], offer["Location"] if zoned else "")]


@replaces(InstanceBackend, "run_instances")
def run(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """Refuse a type in a zone that does not offer it, or that has none left, as EC2 does (moto runs it)."""
    interfaces = kwargs.get("nics") or []
    subnet = kwargs.get("subnet_id") or next(
        (interface["SubnetId"] for interface in interfaces if "SubnetId" in interface), ""
    )
    zone = self.get_subnet(subnet).availability_zone if subnet else kwargs.get("placement") or ""
    kind = kwargs.get("instance_type", "")
    if not current_state().faults.offered(kind, zone):
        text = f"Your requested instance type ({kind}) is not supported in your requested Availability Zone ({zone})."
        raise EC2ClientError("Unsupported", text)
    if not current_state().faults.has_capacity(kind, zone):
        text = f"We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone})."
        raise EC2ClientError("InsufficientInstanceCapacity", text)
    return original(self, *args, **kwargs)
