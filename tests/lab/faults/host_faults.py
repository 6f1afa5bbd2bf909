"""Apply a fault to pneumoctl or a host in the middle of a step; the step is paused for it."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

REACH_S = END_S = 600.0  # time limits, generous for a busy machine
# A step is paused at these commands of the host: they wait while a flag file exists. Probes use none of them.
HELD = ("systemctl reload*", "systemctl restart *", "apt-get *install *", "sync -f *", "ls -1t", "ls /usr/share/*")
HOLD = """#!/bin/sh
name=${0##*/}
case "$name $*" in PATTERN)
  if test -e /run/held; then touch /run/reached; while test -e /run/held; do sleep 0.1; done; fi ;;
esac
exec /usr/bin/$name "$@"
"""
AGENT = "for one in /proc/[0-9]*; do ls -l $one/fd 2>/dev/null | grep -q step.lock && kill -9 ${one#/proc/}; done; true"
MANAGED = (
    "find /etc/pneumoctl /etc/nginx/nginx.conf /etc/redis /etc/prometheus /etc/default/prometheus* "
    "/etc/systemd/system/*pneumoctl* /etc/systemd/system/*/pneumoctl.conf /etc/systemd/journald.conf.d "
    "-type f ! -name '.*' 2>/dev/null | sort | xargs -r sha256sum"
)
# Prints the current releases that are incomplete.
INCOMPLETE = """cd /srv/pneumoctl 2>/dev/null || exit 0
for one in api web; do
  test ! -L $one/current || { cd $one/current && test -d webapp -a -d model -a -e venv/complete; } || echo $one
  cd /srv/pneumoctl
done
test ! -L model/current || test -s model/current/bundle.json || echo model"""


@dataclass
class Hold:
    """Pause steps on one host where they restart a service, install packages or copy files. `only`: the command."""

    operator: Operator
    host: str
    only: str
    old_pid: int = 0  # pid of the host before a reboot

    def __enter__(self) -> "Hold":
        names = {pattern.split()[0] for pattern in HELD}
        script = HOLD.replace(
            "PATTERN", "|".join(pattern.replace(" ", "\\ ") for pattern in HELD if pattern.startswith(self.only))
        )
        self._on(f"rm -f /run/reached; touch /run/held; cat >/usr/local/sbin/hold <<'END'\n{script}END\n")
        self._on("cd /usr/local/sbin; chmod 755 hold; " + "".join(f"ln -sf hold {name}; " for name in names))
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        names = " ".join({pattern.split()[0] for pattern in HELD})
        self._on(f"cd /usr/local/sbin; rm -f hold {names}")

    def let_go(self) -> None:
        """Let the step continue."""
        self._on("rm -f /run/held")

    def reached(self) -> bool:
        """Whether a step is paused now."""
        return "yes" in self._on("test ! -e /run/reached || echo yes")

    def _on(self, script: str) -> str:
        return self.operator.lab.fault.on(self.host, ["sh", "-c", script])


@dataclass
class Outcome:
    """The result of pneumoctl: exit code, output, seconds until its end."""

    code: int
    output: str
    seconds: float


Injection = Callable[[Operator, Hold, "subprocess.Popen[str]"], None]


def _kill(operator: Operator, hold: Hold, child: "subprocess.Popen[str]") -> None:
    child.kill()


def _interrupt(operator: Operator, hold: Hold, child: "subprocess.Popen[str]") -> None:
    os.killpg(child.pid, signal.SIGINT)


def _cut(operator: Operator, hold: Hold, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.cut(hold.host)


def _fill(operator: Operator, hold: Hold, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.fill(hold.host)
    hold.let_go()


def _sshd(operator: Operator, hold: Hold, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.on(hold.host, ["sh", "-c", "for one in $(pidof sshd); do kill -9 $one; done; true"])


def _reboot(operator: Operator, hold: Hold, child: "subprocess.Popen[str]") -> None:
    hold.old_pid = operator.lab.host(hold.host)["pid"]
    operator.lab.fault.reboot(hold.host)


def _agent(operator: Operator, hold: Hold, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.on(hold.host, ["sh", "-c", AGENT])


# fault -> the function that applies it, and the expected exit codes
FAULTS: dict[str, tuple[Injection, set[int]]] = {
    "SIGKILL": (_kill, {-signal.SIGKILL}),
    "Ctrl-C": (_interrupt, {130}),
    "link cut": (_cut, {6}),
    "disk full": (_fill, {0, 6, 10}),  # 0: some steps need no more disk space
    "sshd killed": (_sshd, {6}),
    "reboot": (_reboot, {6, 10}),
    "agent killed": (_agent, {6, 10}),
}


@dataclass
class Files:
    """The allowed digests of a host's managed files: those before the step, and those after it."""

    operator: Operator
    host: str
    allowed: dict[str, set[str]] = field(default_factory=dict)

    def now(self) -> dict[str, str]:
        lines = self.operator.lab.fault.on(self.host, ["sh", "-c", MANAGED]).splitlines()
        return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}

    def allow(self) -> None:
        """Allow the current contents of the files."""
        for path, digest in self.now().items():
            self.allowed.setdefault(path, set()).add(digest)

    def incomplete(self) -> str:
        """The current releases that are incomplete."""
        return self.operator.lab.fault.on(self.host, ["sh", "-c", INCOMPLETE]).strip()


def run_with_fault(operator: Operator, hold: Hold, argv: tuple[str, ...], inject: Injection) -> Outcome:
    """Run pneumoctl and apply the fault where it is paused. The output goes to a file, which a kill does not lose."""
    output_file = Path(operator.lab.paths.home / "said")
    with output_file.open("w+") as file:
        child = operator.lab.start(["pneumoctl", *argv], env=operator.settings, stdout=file, stderr=subprocess.STDOUT)
        try:
            wait_for(f"{argv} to reach {hold.only}", lambda: hold.reached() or child.poll() is not None, REACH_S)
            assert child.poll() is None, (
                f"{argv} ended with {child.returncode} before the fault:\n{output_file.read_text()}"
            )
            inject(operator, hold, child)
            seconds = wait_for(f"{argv} to end", lambda: child.poll() is not None, END_S)
        finally:
            child.kill()
            child.wait()
    return Outcome(child.returncode, output_file.read_text(), seconds)


def heal(operator: Operator, hold: Hold) -> None:
    """End the fault, and wait until the host answers."""
    fault = operator.lab.fault
    fault.restore(hold.host)
    if hold.old_pid:
        wait_for("the host to shut down", lambda: operator.lab.host(hold.host)["pid"] != hold.old_pid)
    operator.lab.await_host(hold.host, "up")
    fault.drain(hold.host)
    hold.let_go()
    wait_for("SSH", lambda: not operator.run("ssh", hold.host, "--", "true", code=None).returncode)
