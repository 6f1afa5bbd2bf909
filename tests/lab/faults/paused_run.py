"""A GPU run that can be paused in a chosen phase, so that a fault can be applied."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.machine.paths import OPERATOR
from tests.lab.training.host import SMALL, TrainingHost
from tests.lab.wait import wait_for

CLOCK_PROGRAM = Path(__file__).with_name("wrong_clock.py")  # not imported: that would change this process's clock
PHASES = ("armed", "booting", "making ready", "data", "proof", "training", "upload", "stopping")
PHASE_TIMEOUT_S = 900.0
LONG, SHORT, BRIEF = 2000, 30, 4  # epochs: for a run that the fault ends; that ends by itself; that ends soon
# Pauses the start of the run at `systemctl daemon-reload`. All other calls of systemctl continue.
PAUSE_AT_DAEMON_RELOAD = """touch /run/held; cat >/usr/local/sbin/systemctl <<'END'
#!/bin/sh
case "$1" in daemon-reload) touch /run/reached; while test -e /run/held; do sleep 0.1; done ;; esac
exec /usr/bin/systemctl "$@"
END
chmod 755 /usr/local/sbin/systemctl"""
MEMORY = Path("/sys/fs/cgroup/memory")  # only exists with cgroups version 1; with version 2, the host has its own


@dataclass
class PausedRun:
    """A GPU run that can be paused, and the client that follows it.

    `boot_script`: run by the host before the client reaches it. `limits`: options of `train` that limit the run.
    """

    training: TrainingHost
    folder: Path
    epochs: int
    limits: tuple[str, ...] = ()
    boot_script: str = ""
    child: "subprocess.Popen[str]" = field(init=False)
    timer: threading.Timer | None = None  # a fault that is still to be ended

    def start(self, phase: str) -> None:
        """Start the run. Slow down a phase that would otherwise be too short."""
        self.folder.mkdir(parents=True)
        shutil.copy(CLOCK_PROGRAM, self.folder / "sitecustomize.py")
        clock = {"PYTHONPATH": str(self.folder), "SECONDS_AHEAD": str(self.clock_offset)}
        operator = self.training.operator
        self._earlier_runs = self._records()
        fault = operator.lab.fault
        if phase == "armed":
            fault.api("slow", service="ec2", action="DescribeInstanceAttribute", source=OPERATOR, seconds=4)
        if phase == "data":
            fault.api("slow", service="s3", action="GetObject", source=self.address, seconds=20, times=1)
        if phase == "upload":
            fault.api("slow", service="s3", action="PutObject", source=self.address, seconds=1)
        if self._boots_without_client(phase):
            fault.cut("train")
        argv = ["pneumoctl", "train", "--gpu", *self.limits, "--", *SMALL, "--epochs", str(self.epochs)]
        with (self.folder / "said").open("w") as output:  # a file is not lost when pneumoctl is killed
            files = {"stdout": output, "stderr": subprocess.STDOUT}
            self.child = operator.lab.start(argv, env={**operator.settings, **clock}, **files)

    def wait_for_phase(self, phase: str) -> None:
        """Wait until the run is in the phase, and pause it there if necessary."""
        lab = self.training.operator.lab
        if self._boots_without_client(phase):
            self._wait_for("booting", lambda: self.phase == "started" and lab.host("train")["state"] == "up")
            self._wait_for("its boot", self._booted)
            self.run_script(self.boot_script or "true")
        if phase == "making ready":
            self.run_script(PAUSE_AT_DAEMON_RELOAD)
        if phase != "booting" and self._boots_without_client(phase):
            lab.fault.restore("train")
        self._wait_for(phase, lambda: self._in_phase(phase))

    def resume(self) -> None:
        """Let a paused run continue."""
        with suppress(RuntimeError, ProcessLookupError, KeyError):
            self.run_script("rm -f /run/held")
        self.training.operator.lab.fault.restore("train")

    def clean_up(self) -> None:
        """End every fault, and the client of this run."""
        fault = self.training.operator.lab.fault
        if self.timer is not None:
            self.timer.cancel()
            self.timer.join()
        fault.restore("operator")  # first, because the API is reached from there
        fault.clear()
        self.resume()
        fault.drain("train")
        self.clock_offset.unlink(missing_ok=True)
        with suppress(AttributeError):  # it was never started
            self.child.kill()
            self.child.wait()
        with suppress(OSError):
            (MEMORY / f"{self.training.operator.lab.paths.prefix}-full").rmdir()

    def _boots_without_client(self, phase: str) -> bool:
        return phase in ("booting", "making ready") or bool(self.boot_script)

    def _booted(self) -> bool:
        with suppress(RuntimeError, ProcessLookupError):  # systemd does not run yet
            return "active" in self.run_script("systemctl is-active multi-user.target || true").split()
        return False

    def _in_phase(self, phase: str) -> bool:
        progress = self.training.progress() if phase not in ("armed", "booting") else {}
        if phase in ("armed", "booting"):
            return self.phase == {"booting": "started"}.get(phase, phase)
        if phase == "making ready":
            return "yes" in self.run_script("test ! -e /run/reached || echo yes")
        if phase in ("training", "stopping"):
            return progress.get("phase") == "train" and progress.get("step", 0) > 3 and self.checkpoint() is not None
        return bool(progress.get("phase") == phase and progress["run"] == self.run)

    def _wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        def reached_or_ended() -> bool:
            return condition() or self.child.poll() is not None

        wait_for(what, reached_or_ended, PHASE_TIMEOUT_S, pause=0.2, pause_grows=False)
        assert self.child.poll() is None, f"it ended with {self.child.returncode} before {what}:\n{self.output}"

    def _records(self) -> dict[str, Path]:
        directory = self.training.operator.directory.with_name("default.runs")
        return {path.parent.name: path for path in directory.glob("*/record.json")}

    @property
    def run(self) -> str:
        """The id of the run, "" while there is none."""
        return max(self._records().keys() - self._earlier_runs.keys(), default="")

    @property
    def phase(self) -> str:
        """The last phase in the record of the run."""
        with suppress(OSError, ValueError, IndexError, KeyError):
            return str(json.loads(self._records()[self.run].read_text())["phases"][-1][0])
        return ""

    @property
    def output(self) -> str:
        return (self.folder / "said").read_text()

    @property
    def clock_offset(self) -> Path:
        """The file with the offset of this pneumoctl's clock."""
        return self.folder / "seconds-ahead"

    @property
    def address(self) -> str:
        return str(self.training.operator.lab.host("train")["private_ip"])

    @property
    def state(self) -> str:
        """The state of the host according to EC2, also while the operator's network is cut."""
        return str(self.training.operator.lab.host("train")["api"])

    def run_script(self, script: str) -> str:
        return self.training.run_script(script)

    def stored_object(self, name: str) -> bytes | None:
        """An object of the run in the bucket, None if there is none."""
        from botocore.exceptions import ClientError

        try:
            return self.training.read_from_bucket(self.run, name)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey", error
            return None

    def checkpoint(self) -> str | None:
        """The newest checkpoint in the bucket, None if there is none."""
        latest = self.stored_object("checkpoints/latest")
        return None if latest is None else latest.decode()
