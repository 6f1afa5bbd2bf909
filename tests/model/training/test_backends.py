"""The training code with other Keras backends, in separate processes, because a process has one backend."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model.training import network

ROOT = Path(network.__file__).parents[2]
SCRIPT = """
import json, sys
import numpy as np
from pathlib import Path
from contextlib import nullcontext
from model.settings import TrainSettings
from model.training import devices, loop, network
from model.training.checkpoint import Checkpoints
network.DAG_WIDTHS = (8,)
off = dict.fromkeys(("augment", "dropout", "average", "warmup"), 0.0)
settings = TrainSettings(height=48, width=48, batch=8, epochs=3, metric="recall", **off)
dice = np.random.default_rng(0)
labels = np.arange(32) % 2
pictures = dice.integers(0, 100, (32, 48, 48, 1)).astype(np.uint8)
pictures[labels == 1, 12:36, 12:36] += 100  # what there is to learn
loop.make_deterministic(1)
distribution = devices.distribution(settings.batch)
with distribution.scope() if distribution else nullcontext():
    model = network.build(settings)
both = (pictures, labels)
stop, heard = int(sys.argv[2]), []
places = Checkpoints(Path(sys.argv[1]), "f")
tell = lambda progress, _: heard.append(progress.step)
fit = loop.TrainingLoop(model, settings, both, both, places, 3, tell, lambda: heard[-1] == stop)
try:
    fit.run()
except loop.Stopped:
    pass
import keras
print(json.dumps({
    "backend": keras.backend.backend(),
    "replicas": distribution.num_replicas_in_sync if distribution else 1,
    "steps": [heard[0], heard[-1]],
    "auc": fit.progress.history[-1]["val_auc"] if fit.progress.history else 0.0,
}))
"""


# TensorFlow takes one processor for two, and both for GPUs; the pictures of an epoch are no whole number of batches.
TWO = """
import tensorflow as tf
from model.training import devices
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
devices.gpus = lambda: [{"device": f"/CPU:{n}", "name": "half a CPU", "capability": None} for n in range(2)]
"""


def trained(script: str, backend: str, folder: Path, stop: int = 0) -> dict[str, Any]:
    """What the script says in the end; it may be stopped at a step."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", script, str(folder), str(stop)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    summary: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return summary


@pytest.mark.repeat
def test_a_network_learns_with_jax(tmp_path: Path) -> None:
    summary = trained(SCRIPT, "jax", tmp_path)

    assert (summary["backend"], summary["replicas"], summary["steps"]) == ("jax", 1, [1, 12])
    assert summary["auc"] > 0.9


@pytest.mark.repeat
def test_several_gpus_share_each_batch_and_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    script = TWO + SCRIPT.replace("(32, 48", "(35, 48").replace("arange(32)", "arange(35)")

    stopped = trained(script, "tensorflow", tmp_path, stop=5)
    assert (stopped["replicas"], stopped["steps"]) == (2, [1, 5])
    gone_on = trained(script, "tensorflow", tmp_path)
    assert gone_on["steps"] == [6, 12]
    assert gone_on["auc"] > 0.9
