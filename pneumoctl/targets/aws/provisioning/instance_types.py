"""Check that the images of the hosts and the training run on the chosen instance types."""

from collections.abc import Iterator, Mapping
from typing import Any

from pneumoctl.aws.ec2 import Aws
from pneumoctl.stack.settings import Settings, gpu_choices
from pneumoctl.targets.common.checks import Row

ARCHITECTURE = "x86_64"  # of the images that terraform/hosts.tf chooses
HOST_TYPES = ("nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type")
# GPUs older than Volta (p2, g2, g3): no driver of the images runs them, or TensorFlow has no code for them.
TOO_OLD = {"K80", "K520", "M60"}
GPU_EXAMPLE = "set gpu_type or gpu_types to types with an NVIDIA GPU of 2017 or later, as g4dn.xlarge or g5.xlarge"


def processors_and_gpus(settings: Settings, aws: Aws) -> Iterator[Row]:
    """A row for the processors and one for the GPU. Types that EC2 does not list here have a row of their own."""
    kinds, gpus = {name: getattr(settings, name) for name in HOST_TYPES}, gpu_choices(settings)
    described = describe(aws, {*kinds.values(), *gpus})
    wrong = {
        name: f"{kind} has an {'/'.join(architectures)} processor"
        for name, kind in kinds.items()
        if kind in described and (name != "gpu_type" or settings.gpu_host)
        if ARCHITECTURE not in (architectures := described[kind]["ProcessorInfo"]["SupportedArchitectures"])
    }
    seen = f"{'; '.join(wrong.values())}, and the images are for {ARCHITECTURE}" if wrong else ARCHITECTURE
    yield Row("processors", not wrong, seen, f"set {', '.join(wrong)} to a type for {ARCHITECTURE}, as t3.small")
    for kind in gpus:
        if kind in described:
            yield _gpu(kind, described[kind], settings.gpu_host)


def describe(aws: Aws, kinds: set[str]) -> dict[str, Mapping[str, Any]]:
    """EC2's description of each type that exists in the region."""
    only = [{"Name": "instance-type", "Values": sorted(kinds)}]
    return {
        kind["InstanceType"]: kind
        for kind in aws.items("ec2", "describe_instance_types", "InstanceTypes", Filters=only)
    }


def _gpu(kind: str, described: Mapping[str, Any], needed: bool) -> Row:
    gpus = described.get("GpuInfo", {}).get("Gpus", ())
    why = gpu_unusable(gpus)
    if why and not needed:
        return Row("GPU", True, f"{kind} has {why}: training will need another type")
    names = ", ".join(f"{gpu['Count']} x {gpu['Manufacturer']} {gpu['Name']}" for gpu in gpus)
    return Row("GPU", not why, f"{kind} has {why or names}", GPU_EXAMPLE)


def gpu_unusable(gpus: list[Mapping[str, Any]]) -> str:
    """Why the training cannot use these GPUs; empty if it can."""
    if not gpus:
        return "no GPU"
    gpu = gpus[0]
    name = f"{gpu['Manufacturer']} {gpu['Name']}"
    if gpu["Manufacturer"] != "NVIDIA":
        return f"an {name}, which has no CUDA"
    if gpu["Name"] in TOO_OLD:
        return f"an {name}, which is too old for the images' driver"
    if gpu.get("GpuPartitionSize", 1.0) < 1.0:
        return f"a part of an {name}, which needs a driver that the images lack"
    return ""
