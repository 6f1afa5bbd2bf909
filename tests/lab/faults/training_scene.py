"""A run on the GPU host that is held in one of its phases, for something to go wrong there."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.faults import wrong_clock
from tests.lab.machine.places import OPERATOR
from tests.lab.small import until
from tests.lab.training.host import SMALL, Training

PHASES = ("armed", "booting", "making ready", "data", "proof", "training", "upload", "stopping")
REACH_S = 900.0
LONG, SHORT, BRIEF = 2000, 30, 4  # epochs: to be ended by what strikes; to end by itself; to wait for its end
CAP = ("--stall", "1", "--max-runtime", "4m")  # nothing that a run waits for is longer
# Begun is what the host is told of: there it is held. All else of systemctl goes on.
HOLD = """touch /run/held; cat >/usr/local/sbin/systemctl <<'END'
#!/bin/sh
case "$1" in daemon-reload) touch /run/reached; while test -e /run/held; do sleep 0.1; done ;; esac
exec /usr/bin/systemctl "$@"
END
chmod 755 /usr/local/sbin/systemctl"""
MEMORY = Path("/sys/fs/cgroup/memory")  # the controller is there in version 1; in version 2 the host has its own


@dataclass
class Scene:
    """A run that somebody follows. `prepared`: a script that its host runs at boot, before anybody reaches it."""

    training: Training
    folder: Path
    epochs: int
    prepared: str = ""
    child: "subprocess.Popen[str]" = field(init=False)
    timer: threading.Timer | None = None  # what is yet to happen

    def begin(self, phase: str) -> None:
        """Order the run, so that it is held in a phase where that would be over in a moment."""
        self.folder.mkdir(parents=True)
        shutil.copy(wrong_clock.__file__, self.folder / "sitecustomize.py")
        clock = {"PYTHONPATH": str(self.folder), "SECONDS_AHEAD": str(self.ahead)}
        operator = self.training.operator
        self._known = self._records()
        fault = operator.lab.fault
        if phase == "armed":
            fault.api("slow", service="ec2", action="DescribeInstanceAttribute", source=OPERATOR, seconds=4)
        if phase == "data":
            fault.api("slow", service="s3", action="GetObject", source=self.address, seconds=20, times=1)
        if phase == "upload":
            fault.api("slow", service="s3", action="PutObject", source=self.address, seconds=1)
        if self._boots_alone(phase):
            fault.cut("train")
        argv = ["pneumoctl", "train", "--gpu", *CAP, "--", *SMALL, "--epochs", str(self.epochs)]
        with (self.folder / "said").open("w") as said:  # a file: who is killed leaves it behind
            to = {"stdout": said, "stderr": subprocess.STDOUT}
            self.child = operator.lab.start(argv, env={**operator.settings, **clock}, **to)

    def reach(self, phase: str) -> None:
        """Wait until it is there, and go on to where it is held."""
        lab = self.training.operator.lab
        if self._boots_alone(phase):
            self._until("booting", lambda: self.phase == "started" and lab.host("train")["state"] == "up")
            self._until("its boot", self._booted)
            self.on(self.prepared or "true")
        if phase == "making ready":
            self.on(HOLD)
        if phase != "booting" and self._boots_alone(phase):
            lab.fault.restore("train")
        self._until(phase, lambda: self._there(phase))

    def let_go(self) -> None:
        """What held it goes on, where it still stands."""
        with suppress(RuntimeError, ProcessLookupError, KeyError):
            self.on("rm -f /run/held")
        self.training.operator.lab.fault.restore("train")

    def heal(self) -> None:
        """The fault is over, whatever it was; nobody of this run is left here."""
        fault = self.training.operator.lab.fault
        if self.timer is not None:
            self.timer.cancel()
            self.timer.join()
        fault.restore("operator")  # first: the API is asked from there
        fault.clear()
        self.let_go()
        fault.drain("train")
        self.ahead.unlink(missing_ok=True)
        with suppress(AttributeError):  # it was never begun
            self.child.kill()
            self.child.wait()
        with suppress(OSError):
            (MEMORY / f"{self.training.operator.lab.places.prefix}-full").rmdir()

    def _boots_alone(self, phase: str) -> bool:
        return phase in ("booting", "making ready") or bool(self.prepared)

    def _booted(self) -> bool:
        with suppress(RuntimeError, ProcessLookupError):  # there is no systemd yet that could be asked
            return "active" in self.on("systemctl is-active multi-user.target || true").split()
        return False

    def _there(self, phase: str) -> bool:
        news = self.training.news() if phase not in ("armed", "booting") else {}
        if phase in ("armed", "booting"):
            return self.phase == {"booting": "started"}.get(phase, phase)
        if phase == "making ready":
            return "yes" in self.on("test ! -e /run/reached || echo yes")
        if phase in ("training", "stopping"):
            return news.get("phase") == "train" and news.get("step", 0) > 3 and self.checkpoint() is not None
        return bool(news.get("phase") == phase and news["run"] == self.run)

    def _until(self, what: str, there: Callable[[], bool]) -> None:
        until(what, lambda: there() or self.child.poll() is not None, REACH_S)
        assert self.child.poll() is None, f"it ended with {self.child.returncode} before {what}:\n{self.said}"

    def _records(self) -> dict[str, Path]:
        place = self.training.operator.directory.with_name("default.runs")
        return {path.parent.name: path for path in place.glob("*/record.json")}

    @property
    def run(self) -> str:
        """Its id, "" while there is none."""
        return max(self._records().keys() - self._known.keys(), default="")

    @property
    def phase(self) -> str:
        """The last that its record tells of."""
        with suppress(OSError, ValueError, IndexError, KeyError):
            return str(json.loads(self._records()[self.run].read_text())["phases"][-1][0])
        return ""

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    @property
    def ahead(self) -> Path:
        """Says by how much the clock of this pneumoctl is wrong."""
        return self.folder / "seconds-ahead"

    @property
    def address(self) -> str:
        return str(self.training.operator.lab.host("train")["private_ip"])

    @property
    def state(self) -> str:
        """What EC2 says, also where the operator's own link is cut."""
        return str(self.training.operator.lab.host("train")["api"])

    def on(self, script: str) -> str:
        return self.training.on(script)

    def kept(self, name: str) -> bytes | None:
        """What the run left in the bucket, None if it did not."""
        from botocore.exceptions import ClientError

        try:
            return self.training.in_bucket(self.run, name)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey", error
            return None

    def checkpoint(self) -> str | None:
        """The newest that the bucket has, None if there is none."""
        found = self.kept("checkpoints/latest")
        return None if found is None else found.decode()
