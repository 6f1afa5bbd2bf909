"""Training in the lab: a synthetic data set, the runs of an operator, and the state of the host."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import phantom
from tests.lab.machine.cgroups import Group
from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

# A run of a few seconds on two cores, which neither early stopping nor a collapse ends. Tests that need a longer one
# set more epochs.
SMALL = ("--height", "64", "--width", "64", "--batch", "9", "--validation-share", "0.25", "--checkpoint-steps", "3")
SMALL += ("--patience", "1000", "--grace", "1000")
OFF_S = 900.0  # time limit until a host is off, generous for a busy machine
PROGRESS = "/run/pneumoctl-train/progress.json"


def synthetic_data_set(folder: Path) -> Path:
    """Write a synthetic data set from which a model can learn a little."""
    phantom.tree(folder, patients=24, seed=1, size=96)
    return folder


@dataclass
class TrainingHost:
    """The training host of a stack, or a spot instance that a run made for itself."""

    operator: Operator
    spot: str = ""  # id of the spot instance

    @property
    def id(self) -> str:
        return self.spot or self.operator.instance_id("train")

    def wait_for_spot_instance(self) -> "TrainingHost":
        """Wait for a spot instance and return it."""
        living = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]

        def spot_instances() -> list[str]:
            groups = self.operator.lab.client().describe_instances(Filters=living)["Reservations"]
            instances = [instance for group in groups for instance in group["Instances"]]
            return [instance["InstanceId"] for instance in instances if instance.get("InstanceLifecycle") == "spot"]

        wait_for("a spot instance", lambda: bool(spot_instances()))
        return TrainingHost(self.operator, spot_instances()[0])

    def run_script(self, script: str) -> str:
        """Run a script on the host."""
        return self.operator.lab.fault.run_on_host(self.id, ["sh", "-c", script])

    def state(self) -> str:
        """The state of the host according to EC2."""
        return self.operator.state(self.id)

    def start_run(self, *flags: str, epochs: int = 200, **settings: str) -> str:
        """Start a run with --detach; returns its id."""
        arguments = ("train", "--detach", "--gpu", *flags, "--", *SMALL, "--epochs", str(epochs))
        document = self.operator.json(*arguments, **settings)
        return str(document["run"]["id"])

    def start_followed_run(self, *flags: str, epochs: int = 2, **settings: str) -> "subprocess.Popen[str]":
        """Start a run that the client follows."""
        return self.operator.start("train", "--gpu", *flags, "--", *SMALL, "--epochs", str(epochs), **settings)

    def progress(self) -> dict[str, Any]:
        """The latest progress of the run, {} if there is none."""
        try:
            progress: dict[str, Any] = json.loads(self.run_script(f"cat {PROGRESS}"))
            return progress
        except (RuntimeError, ProcessLookupError, KeyError, ValueError):
            return {}

    def wait_for_phase(self, phase: str, run: str = "", seconds: float = 900.0) -> None:
        """Wait until a run is in a phase; in the phase `train`, until a few steps are done."""

        def in_phase() -> bool:
            progress = self.progress()
            steps = progress.get("step", 0) > 3 or phase != "train"
            return bool(progress.get("phase") == phase and steps and run in ("", progress["run"]))

        wait_for(f"the phase {phase}", in_phase, seconds, pause=0.2, pause_grows=False)

    def stop_host(self) -> None:
        """Stop the host, unless it is off or there is no stack any more."""
        if self.operator.directory.exists() and self.state() not in ("stopped", "terminated"):
            self.operator.run("gpu", "stop")

    def wait_until_off(self, seconds: float = OFF_S) -> float:
        """Wait until the host is off according to EC2; returns how long it took."""
        began = time.monotonic()
        wait_for("the GPU host to be off", lambda: self.state() in ("stopped", "terminated"), seconds)
        return time.monotonic() - began

    def process(self) -> int:
        """The process id, on this machine, of the run's main process."""
        group = f"{self.operator.lab.paths.prefix}/{self.id}"
        (process,) = Group(group).processes("pneumoctl-train.service")
        return process

    def console(self) -> bytes:
        """The console output of the host since its creation."""
        return (self.operator.lab.paths.hosts / self.id / "console.log").read_bytes()

    def receipt(self, run: str) -> dict[str, Any]:
        """The receipt of a run, once it was collected."""
        document = self.operator.json("runs", "show", run)
        receipt: dict[str, Any] = document["receipt"]
        return receipt

    def newest_run(self) -> str:
        """The id of the newest run on this machine."""
        run: str = self.operator.json("runs", "ls")["runs"][-1]["run"]["id"]
        return run

    def read_from_bucket(self, run: str, name: str) -> bytes:
        """An object of a run in the bucket."""
        bucket = json.loads((self.operator.directory / "aws.json").read_text())["bucket"]
        content: bytes = (
            self.operator.lab.client("s3").get_object(Bucket=bucket, Key=f"runs/{run}/{name}")["Body"].read()
        )
        return content

    # Each of these disables one guard.

    def disable_schedule(self) -> None:
        """Disable guard 1: no schedule stops the host."""
        client = self.operator.lab.client("scheduler")
        for schedule in client.list_schedules(GroupName="pneumoctl-default")["Schedules"]:
            client.delete_schedule(GroupName="pneumoctl-default", Name=schedule["Name"])

    def disable_timer(self) -> None:
        """Disable guard 2 until the next boot: the timer on the host."""
        self.run_script("systemctl stop pneumoctl-guard.timer")

    def disable_unit(self) -> None:
        """Disable guard 3 until the next boot: the unit that powers the host off at the end of a run."""
        drop_in = "/run/systemd/system/pneumoctl-train.service.d"
        script = (
            f"mkdir -p {drop_in}; printf '[Service]\\nExecStopPost=\\n' >{drop_in}/none.conf; systemctl daemon-reload"
        )
        self.run_script(script)

    def advance_clock(self, seconds: float) -> None:
        """Put the scheduler's clock forward."""
        self.operator.lab.fault.advance_clock(seconds)
