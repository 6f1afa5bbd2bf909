"""Training in the lab: a data set of drawings, runs ordered by an operator, and what became of the host."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model import phantom
from tests.lab.machine.cgroups import Group
from tests.lab.operated import Operator
from tests.lab.small import until

# A run of a few seconds on two cores; epochs are added where it must take longer, and it never has learned enough.
SMALL = ("--height", "64", "--width", "64", "--batch", "8", "--validation-share", "0.25", "--checkpoint-steps", "3")
SMALL += ("--patience", "1000")
OFF_S = 900.0  # until a host is off, on a machine that is busy
PROGRESS = "/run/pneumoctl-train/progress.json"


def drawings(folder: Path) -> Path:
    """A data set that can be learned a little."""
    phantom.tree(folder, patients=24, seed=1, size=96)
    return folder


@dataclass
class Training:
    """The training host of a stack, or a spot instance that a run made for itself."""

    operator: Operator
    spot: str = ""  # its id

    @property
    def id(self) -> str:
        return self.spot or self.operator.instance("train")

    def on_spot(self) -> "Training":
        """The spot instance that is on now."""
        living = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]

        def found() -> list[str]:
            groups = self.operator.lab.client().describe_instances(Filters=living)["Reservations"]
            every = [one for group in groups for one in group["Instances"]]
            return [one["InstanceId"] for one in every if one.get("InstanceLifecycle") == "spot"]

        until("a spot instance", lambda: bool(found()))
        return Training(self.operator, found()[0])

    def on(self, script: str) -> str:
        """Have the host do something."""
        return self.operator.lab.fault.on(self.id, ["sh", "-c", script])

    def state(self) -> str:
        """What EC2 says."""
        return self.operator.state(self.id)

    def begin(self, *flags: str, epochs: int = 200, **settings: str) -> str:
        """Leave a run alone on the host; its id."""
        words = ("train", "--detach", "--gpu", *flags, "--", *SMALL, "--epochs", str(epochs))
        document = self.operator.json(*words, **settings)
        return str(document["run"]["id"])

    def follow(self, *flags: str, epochs: int = 2, **settings: str) -> "subprocess.Popen[str]":
        """A run that somebody watches."""
        return self.operator.start("train", "--gpu", *flags, "--", *SMALL, "--epochs", str(epochs), **settings)

    def news(self) -> dict[str, Any]:
        """The newest word of progress, {} if there is none."""
        try:
            found: dict[str, Any] = json.loads(self.on(f"cat {PROGRESS}"))
            return found
        except (RuntimeError, ProcessLookupError, KeyError, ValueError):
            return {}

    def reached(self, phase: str, run: str = "", seconds: float = 900.0) -> None:
        """Wait until a run is in a phase; in that of training, until a few steps are done."""

        def there() -> bool:
            news = self.news()
            steps = news.get("step", 0) > 3 or phase != "train"
            return bool(news.get("phase") == phase and steps and run in ("", news["run"]))

        until(f"the phase {phase}", there, seconds)

    def end(self) -> None:
        """Stop the host, unless it is off or there is no stack any more."""
        if self.operator.directory.exists() and self.state() not in ("stopped", "terminated"):
            self.operator.run("gpu", "stop")

    def off(self, seconds: float = OFF_S) -> float:
        """Wait until EC2 says that the host is off; how long that took."""
        began = time.monotonic()
        until("the GPU host to be off", lambda: self.state() in ("stopped", "terminated"), seconds)
        return time.monotonic() - began

    def process(self) -> int:
        """The run's main process, by its number on this machine."""
        group = f"{self.operator.lab.places.prefix}/{self.id}"
        (found,) = Group(group).processes("pneumoctl-train.service")
        return found

    def console(self) -> bytes:
        """What the host said since it was made."""
        return (self.operator.lab.places.hosts / self.id / "console.log").read_bytes()

    def receipt(self, run: str) -> dict[str, Any]:
        """The receipt of a run, when it was collected."""
        document = self.operator.json("runs", "show", run)
        receipt: dict[str, Any] = document["receipt"]
        return receipt

    def newest(self) -> str:
        """The id of the newest run here."""
        run: str = self.operator.json("runs", "ls")["runs"][-1]["run"]["id"]
        return run

    def in_bucket(self, run: str, name: str) -> bytes:
        """What a run left in the bucket."""
        bucket = json.loads((self.operator.directory / "aws.json").read_text())["bucket"]
        found: bytes = self.operator.lab.client("s3").get_object(Bucket=bucket, Key=f"runs/{run}/{name}")["Body"].read()
        return found

    # Each of these makes one guard powerless, as if it had never been built.

    def without_schedule(self) -> None:
        """Guard 1: nothing in the account stops the host."""
        client = self.operator.lab.client("scheduler")
        for one in client.list_schedules(GroupName="pneumoctl-default")["Schedules"]:
            client.delete_schedule(GroupName="pneumoctl-default", Name=one["Name"])

    def without_timer(self) -> None:
        """Guard 2: the host does not look after itself, until it is booted again."""
        self.on("systemctl stop pneumoctl-guard.timer")

    def without_unit(self) -> None:
        """Guard 3: the run's end leaves the host on, until it is booted again."""
        place = "/run/systemd/system/pneumoctl-train.service.d"
        script = f"mkdir -p {place}; printf '[Service]\\nExecStopPost=\\n' >{place}/none.conf; systemctl daemon-reload"
        self.on(script)

    def forward(self, seconds: float) -> None:
        """Put the scheduler's clock forward."""
        self.operator.lab.fault.forward(seconds)
