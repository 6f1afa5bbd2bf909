"""Ask the framework for its GPUs, at this one place; prove that one works, and say which precision it is good at."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

STAND_IN = "PNEUMOCTL_GPU_STAND_IN"  # "1": where there is no GPU the CPU plays its part, and every record says so
PRECISIONS = ("float32", "bfloat16", "float16")
SIDE = {"gpu": 8192, "stand-in": 512}  # of the matrices that are multiplied
ROUNDS = 5
DRIVER = Path("/proc/driver/nvidia/version")


class NoGpu(Exception):
    """The framework has no GPU that works; the message names the versions of driver and libraries."""


def gpus() -> list[dict[str, Any]]:
    """The GPUs that the framework sees: device, name, compute capability (major, minor), None where it has none."""
    import tensorflow as tf

    found = []
    for one in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(one)
        device = f"/{one.device_type}:{len(found)}"
        found.append(
            {
                "device": device,
                "name": details.get("device_name", one.name),
                "capability": details.get("compute_capability"),
            }
        )
    if not found and os.environ.get(STAND_IN) == "1":
        return [{"device": "/CPU:0", "name": "stand-in (CPU)", "capability": None}]
    return found


def together(batch: int) -> Any:
    """TensorFlow's own distribution over as many GPUs as share a batch evenly; None where that is one."""
    import tensorflow as tf

    found = gpus()
    count = math.gcd(batch, len(found))
    return tf.distribute.MirroredStrategy([one["device"] for one in found[:count]]) if count > 1 else None


def prove() -> dict[str, Any]:
    """A timed matrix product on every GPU: the document on it. Raises NoGpu."""
    import tensorflow as tf

    found, seen = gpus(), versions()
    if not found:
        raise NoGpu(f"TensorFlow sees no GPU ({told(seen)})")
    stand_in = found[0]["device"].startswith("/CPU")
    side = SIDE["stand-in" if stand_in else "gpu"]
    seconds = []
    for one in found:
        try:
            with tf.device(one["device"]):
                left = tf.random.uniform((side, side))
                float(tf.reduce_sum(left @ left))  # the first one loads libraries
                began = time.perf_counter()
                for _ in range(ROUNDS):
                    left = left @ left / float(side)
                float(tf.reduce_sum(left))
                seconds.append((time.perf_counter() - began) / ROUNDS)
        except tf.errors.OpError as error:
            raise NoGpu(f"{one['name']} multiplies no matrices: {error.message} ({told(seen)})") from error
    names = {"name": found[0]["name"], "count": len(found), "stand_in": stand_in}
    return {**names, "matmul_s": max(seconds), "matmul_side": side, **seen}


def versions() -> dict[str, str]:
    """Of TensorFlow, of the CUDA and cuDNN that it was built for, and of the driver; "" where there is none."""
    import tensorflow as tf

    built = tf.sysconfig.get_build_info()
    driver = DRIVER.read_text().splitlines()[0] if DRIVER.exists() else ""
    return {
        "tensorflow": tf.__version__,
        "cuda": str(built.get("cuda_version", "")),
        "cudnn": str(built.get("cudnn_version", "")),
        "driver": driver,
    }


def told(seen: dict[str, str]) -> str:
    """The versions in a line."""
    return ", ".join(f"{name} {value or 'none'}" for name, value in seen.items())


def precision(wished: str) -> str:
    """What "auto" comes to: what every card here has units for; tensor cores came with 7.0, bfloat16 with 8.0."""
    if wished != "auto":
        return wished
    capabilities = [one["capability"] for one in gpus()]
    if not capabilities or None in capabilities:
        return "float32"
    least = min(tuple(one) for one in capabilities)
    return "bfloat16" if least >= (8, 0) else "float16" if least >= (7, 0) else "float32"
