"""The GPUs that TensorFlow sees: list them, measure that they work, and choose a precision that they accelerate."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

STAND_IN = "PNEUMOCTL_GPU_STAND_IN"  # "1": without a GPU the CPU takes its place, and every record says so
MATRIX_SIDE = {"gpu": 8192, "stand-in": 512}
ROUNDS = 5
DRIVER = Path("/proc/driver/nvidia/version")


class NoGpu(Exception):
    """TensorFlow has no working GPU; the message states the versions of driver and libraries."""


def gpus() -> list[dict[str, Any]]:
    """The GPUs that TensorFlow sees: device, name, and compute capability (major, minor) or None if unknown."""
    import tensorflow as tf

    devices = []
    for number, gpu in enumerate(tf.config.list_physical_devices("GPU")):
        details = tf.config.experimental.get_device_details(gpu)
        devices.append(
            {
                "device": f"/{gpu.device_type}:{number}",
                "name": details.get("device_name", gpu.name),
                "capability": details.get("compute_capability"),
            }
        )
    if not devices and os.environ.get(STAND_IN) == "1":
        return [{"device": "/CPU:0", "name": "stand-in (CPU)", "capability": None}]
    return devices


def distribution(batch: int) -> Any:
    """A TensorFlow distribution strategy over as many GPUs as divide a batch evenly; None if that is one GPU."""
    import tensorflow as tf

    devices = gpus()
    count = math.gcd(batch, len(devices)) if devices else 0  # gcd(batch, 0) is the batch
    return tf.distribute.MirroredStrategy([gpu["device"] for gpu in devices[:count]]) if count > 1 else None


def measure() -> dict[str, Any]:
    """Multiply matrices on every GPU and return a document with names, time and versions. Raises NoGpu."""
    devices, software = gpus(), versions()
    if not devices:
        raise NoGpu(f"TensorFlow sees no GPU ({_listed(software)})")
    stand_in = devices[0]["device"].startswith("/CPU")
    side = MATRIX_SIDE["stand-in" if stand_in else "gpu"]
    seconds = [_matmul_seconds(gpu, side, software) for gpu in devices]
    names = {"name": devices[0]["name"], "count": len(devices), "stand_in": stand_in}
    return {**names, "matmul_s": max(seconds), "matmul_side": side, **software}


def _matmul_seconds(gpu: dict[str, Any], side: int, software: dict[str, str]) -> float:
    import tensorflow as tf

    try:
        with tf.device(gpu["device"]):
            matrix = tf.random.uniform((side, side))
            float(tf.reduce_sum(matrix @ matrix))  # the first product loads libraries and is not measured
            started = time.perf_counter()
            for _ in range(ROUNDS):
                matrix = matrix @ matrix / float(side)
            float(tf.reduce_sum(matrix))
            return (time.perf_counter() - started) / ROUNDS
    except tf.errors.OpError as error:
        message = f"{gpu['name']} cannot multiply matrices: {error.message} ({_listed(software)})"
        raise NoGpu(message) from error


def versions() -> dict[str, str]:
    """The versions of TensorFlow, of the CUDA and cuDNN that it was built for, and of the driver; "" if absent."""
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    driver = DRIVER.read_text().splitlines()[0] if DRIVER.exists() else ""
    return {
        "tensorflow": tf.__version__,
        "cuda": str(build.get("cuda_version", "")),
        "cudnn": str(build.get("cudnn_version", "")),
        "driver": driver,
    }


def _listed(software: dict[str, str]) -> str:
    return ", ".join(f"{name} {version or 'none'}" for name, version in software.items())


def resolve_precision(requested: str) -> str:
    """Replace "auto" by the precision that all GPUs accelerate: float16 from capability 7.0, bfloat16 from 8.0."""
    if requested != "auto":
        return requested
    capabilities = [gpu["capability"] for gpu in gpus()]
    if not capabilities or None in capabilities:
        return "float32"
    lowest = min(tuple(capability) for capability in capabilities)
    return "bfloat16" if lowest >= (8, 0) else "float16" if lowest >= (7, 0) else "float32"
