"""Apply a fault to pneumoctl or a host in the middle of a step; the step is paused for it."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

STEP_TIMEOUT_S = END_TIMEOUT_S = 600.0  # time limits, generous for a busy machine
# A step is paused at these commands of the host: they wait while a flag file exists. Probes use none of them.
PAUSED_AT = ("systemctl reload*", "systemctl restart *", "apt-get *install *", "sync -f *", "ls -1t", "ls /usr/share/*")
PAUSE_SCRIPT = """#!/bin/sh
name=${0##*/}
case "$name $*" in PATTERN)
  if test -e /run/held; then touch /run/reached; while test -e /run/held; do sleep 0.1; done; fi ;;
esac
exec /usr/bin/$name "$@"
"""
KILL_AGENT = (
    "for one in /proc/[0-9]*; do ls -l $one/fd 2>/dev/null | grep -q step.lock && kill -9 ${one#/proc/}; done; true"
)
LIST_MANAGED_FILES = (
    "find /etc/pneumoctl /etc/nginx/nginx.conf /etc/redis /etc/prometheus /etc/default/prometheus* "
    "/etc/systemd/system/*pneumoctl* /etc/systemd/system/*/pneumoctl.conf /etc/systemd/journald.conf.d "
    "-type f ! -name '.*' 2>/dev/null | sort | xargs -r sha256sum"
)
# Prints the current releases that are incomplete.
LIST_INCOMPLETE_RELEASES = """cd /srv/pneumoctl 2>/dev/null || exit 0
for one in api web; do
  test ! -L $one/current || { cd $one/current && test -d webapp -a -d model -a -e venv/complete; } || echo $one
  cd /srv/pneumoctl
done
test ! -L model/current || test -s model/current/bundle.json || echo model"""


@dataclass
class PausedStep:
    """Pause steps on a host where they restart a service, install packages or copy files. `command`: which of these."""

    operator: Operator
    host: str
    command: str
    old_pid: int = 0  # pid of the host before a reboot

    def __enter__(self) -> "PausedStep":
        names = {pattern.split()[0] for pattern in PAUSED_AT}
        script = PAUSE_SCRIPT.replace(
            "PATTERN",
            "|".join(pattern.replace(" ", "\\ ") for pattern in PAUSED_AT if pattern.startswith(self.command)),
        )
        self._run_on_host(f"rm -f /run/reached; touch /run/held; cat >/usr/local/sbin/hold <<'END'\n{script}END\n")
        self._run_on_host("cd /usr/local/sbin; chmod 755 hold; " + "".join(f"ln -sf hold {name}; " for name in names))
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        names = " ".join({pattern.split()[0] for pattern in PAUSED_AT})
        self._run_on_host(f"cd /usr/local/sbin; rm -f hold {names}")

    def resume(self) -> None:
        """Let the step continue."""
        self._run_on_host("rm -f /run/held")

    def has_paused(self) -> bool:
        """Whether a step has reached the command at which it is paused."""
        return "yes" in self._run_on_host("test ! -e /run/reached || echo yes")

    def _run_on_host(self, script: str) -> str:
        return self.operator.lab.fault.run_on_host(self.host, ["sh", "-c", script])


@dataclass
class CommandResult:
    """The result of pneumoctl: exit code, output, seconds until its end."""

    code: int
    output: str
    seconds: float


Injection = Callable[[Operator, PausedStep, "subprocess.Popen[str]"], None]


def _kill(operator: Operator, paused: PausedStep, child: "subprocess.Popen[str]") -> None:
    child.kill()


def _interrupt(operator: Operator, paused: PausedStep, child: "subprocess.Popen[str]") -> None:
    os.killpg(child.pid, signal.SIGINT)


def _cut_network(operator: Operator, paused: PausedStep, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.cut(paused.host)


def _fill_disk(operator: Operator, paused: PausedStep, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.fill(paused.host)
    paused.resume()


def _kill_sshd(operator: Operator, paused: PausedStep, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.run_on_host(paused.host, ["sh", "-c", "for one in $(pidof sshd); do kill -9 $one; done; true"])


def _reboot(operator: Operator, paused: PausedStep, child: "subprocess.Popen[str]") -> None:
    paused.old_pid = operator.lab.host(paused.host)["pid"]
    operator.lab.fault.reboot(paused.host)


def _kill_agent(operator: Operator, paused: PausedStep, child: "subprocess.Popen[str]") -> None:
    operator.lab.fault.run_on_host(paused.host, ["sh", "-c", KILL_AGENT])


# fault -> the function that applies it, and the expected exit codes
FAULTS: dict[str, tuple[Injection, set[int]]] = {
    "SIGKILL": (_kill, {-signal.SIGKILL}),
    "Ctrl-C": (_interrupt, {130}),
    "link cut": (_cut_network, {6}),
    "disk full": (_fill_disk, {0, 6, 10}),  # 0: some steps need no more disk space
    "sshd killed": (_kill_sshd, {6}),
    "reboot": (_reboot, {6, 10}),
    "agent killed": (_kill_agent, {6, 10}),
}


@dataclass
class ManagedFiles:
    """The allowed digests of a host's managed files: those before the step, and those after it."""

    operator: Operator
    host: str
    allowed: dict[str, set[str]] = field(default_factory=dict)

    def now(self) -> dict[str, str]:
        lines = self.operator.lab.fault.run_on_host(self.host, ["sh", "-c", LIST_MANAGED_FILES]).splitlines()
        return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}

    def allow_current(self) -> None:
        """Allow the current contents of the files."""
        for path, digest in self.now().items():
            self.allowed.setdefault(path, set()).add(digest)

    def incomplete(self) -> str:
        """The current releases that are incomplete."""
        return self.operator.lab.fault.run_on_host(self.host, ["sh", "-c", LIST_INCOMPLETE_RELEASES]).strip()


def run_with_fault(operator: Operator, paused: PausedStep, argv: tuple[str, ...], inject: Injection) -> CommandResult:
    """Run pneumoctl and apply the fault where it is paused. The output goes to a file, which a kill does not lose."""
    output_file = Path(operator.lab.paths.home / "said")
    with output_file.open("w+") as file:
        child = operator.lab.start(["pneumoctl", *argv], env=operator.settings, stdout=file, stderr=subprocess.STDOUT)
        try:
            wait_for(
                f"{argv} to reach {paused.command}",
                lambda: paused.has_paused() or child.poll() is not None,
                STEP_TIMEOUT_S,
            )
            assert child.poll() is None, (
                f"{argv} ended with {child.returncode} before the fault:\n{output_file.read_text()}"
            )
            inject(operator, paused, child)
            seconds = wait_for(f"{argv} to end", lambda: child.poll() is not None, END_TIMEOUT_S)
        finally:
            child.kill()
            child.wait()
    return CommandResult(child.returncode, output_file.read_text(), seconds)


def end_fault(operator: Operator, paused: PausedStep) -> None:
    """End the fault, and wait until the host answers."""
    fault = operator.lab.fault
    fault.restore(paused.host)
    if paused.old_pid:
        wait_for("the host to shut down", lambda: operator.lab.host(paused.host)["pid"] != paused.old_pid)
    operator.lab.wait_for_host(paused.host, "up")
    fault.drain(paused.host)
    paused.resume()
    wait_for("SSH", lambda: not operator.run("ssh", paused.host, "--", "true", code=None).returncode)
