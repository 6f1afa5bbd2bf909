"""Interrupt `up` and `teardown` with SIGKILL, loss of power or Ctrl-C at random moments, and check the result."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.faults import account
from tests.lab.machine.cgroups import Group
from tests.lab.machine.lab import Lab
from tests.lab.wait import wait_for

# Phase of a run -> the maximum delay of the interruption after the start of the phase, in seconds.
# `apply`: the first resource is being created or destroyed. `attached`: pneumoctl waits for the terraform process of
# a killed run. `end`: terraform has finished; hosts boot, or AWS is asked what is left.
PHASES = {"start": 2.0, "init": 1.0, "plan": 6.0, "setout": 4.0, "apply": 6.0, "attached": 3.0, "end": 0.5}
# k: SIGKILL of pneumoctl only. p: SIGKILL of all processes, also terraform and its provider. i: Ctrl-C.
STATE = Path(".local/state/pneumoctl")
RUN_S = 600.0  # generous for a busy machine


@dataclass
class InterruptionTest:
    """An operator whose commands are interrupted repeatedly. `log`: the events, for the message of a failure."""

    lab: Lab
    rng: random.Random
    settings: Mapping[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    attached: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.state_dir = self.lab.paths.home / STATE
        self.directory = self.state_dir / "default"
        self.before = account.existing(self.lab)

    def report(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self.started:6.1f} {text}")
        print(f"{self.lab.paths.name} {self.log[-1]}", flush=True)

    # --- one interrupted run ------------------------------------------------------------------------------------------

    def run_and_interrupt(self, verb: str, phase: str, how: str, at_once: bool = False) -> bool:
        """Run a command and interrupt it in a phase, at a random moment or at once. False if it ended before that."""
        delay = 0.0 if at_once else self.rng.uniform(0, PHASES[phase])
        with (self.lab.paths.home / "said").open("w+") as output:
            child = self.lab.start(
                ["pneumoctl", verb, "-y"], env=self.settings, stdout=output, stderr=subprocess.STDOUT
            )
            reached = self._wait_for_phase(child, phase, Path(output.name), self._terraform(), self._completed_runs())
            if reached:
                time.sleep(delay)
            if child.poll() is not None:
                self._check_completed(child, verb, Path(output.name), f"before {phase} + {delay:.1f} s")
                return False
            terraform = self._terraform()
            self.report(f"{verb}: {phase} + {delay:.1f} s: {how}; {' '.join(terraform) or 'no terraform'}")
            {"k": self._kill, "p": self._kill_everything, "i": self._interrupt}[how](
                child, Path(output.name), terraform
            )
        return True

    def _wait_for_phase(
        self, child: "subprocess.Popen[str]", phase: str, output: Path, terraform: list[str], done: int
    ) -> bool:
        deadline = time.monotonic() + RUN_S
        while child.poll() is None:
            text = output.read_text()
            now = self._terraform()
            reached = {
                "start": f'"pid": {child.pid},' in self._text(self.state_dir / "default.lock"),
                "init": "terraform init" in " ".join(now),
                "plan": now != terraform and "terraform plan" in " ".join(now),
                "setout": "terraform apply" in " ".join(now) and now != terraform,
                "apply": "terraform apply" in " ".join(now) and self._apply_started(),
                "attached": "is still running" in text,
                "end": self._completed_runs() > done or "nothing to do" in text,
            }
            if reached[phase]:
                return True
            assert time.monotonic() < deadline, f"{phase} not reached:\n{text}\n" + "\n".join(self.log)
            time.sleep(0.02)
        return False

    def _kill(self, child: "subprocess.Popen[str]", output: Path, terraform: list[str]) -> None:
        child.kill()
        child.wait()
        time.sleep(0.05)
        if terraform and "apply" in terraform[-1]:
            assert self._terraform() == terraform, self.log

    def _kill_everything(self, child: "subprocess.Popen[str]", output: Path, terraform: list[str]) -> None:
        Group(f"{self.lab.paths.prefix}/operator").kill()
        child.wait()
        assert self._terraform() == []

    def _interrupt(self, child: "subprocess.Popen[str]", output: Path, terraform: list[str]) -> None:
        os.killpg(child.pid, signal.SIGINT)
        started = time.monotonic()
        code = child.wait(RUN_S)
        text = output.read_text()
        assert "Traceback" not in text, text
        if code == 0 or "proof: " in text or "front door: " in text:  # it was just ending
            return
        assert code == 130, text
        assert self._terraform() == [], "terraform was left alone"
        if terraform:
            assert "interrupted: terraform finishes" in text, text
            assert "terraform is still running" not in text, text
        self.report(f"    ended {time.monotonic() - started:.1f} s later")

    def _terraform(self) -> list[str]:
        """`PID terraform VERB` of the running terraform; empty if none runs."""
        try:
            run = json.loads((self.directory / "terraform/.pneumoctl/run.json").read_text())
            arguments = Path(f"/proc/{run['pid']}/cmdline").read_text().split("\0")
        except (OSError, ValueError):
            return []
        return [str(run["pid"]), run["command"]] if arguments[0] == "terraform" else []

    def _apply_started(self) -> bool:
        return '"type":"apply_start"' in self._text(self.directory / "terraform/.pneumoctl/output")

    def _completed_runs(self) -> int:
        """How often terraform has completed its work."""
        return self._text(self.directory / "journal.jsonl").count('"done"')

    def _text(self, path: Path) -> str:
        try:
            return path.read_text()
        except FileNotFoundError:
            return ""

    # --- sequences ----------------------------------------------------------------------------------------------------

    def interrupt_in_phases(self, verb: str, moments: str) -> None:
        """Interrupt at each moment. After a completed run, later runs only reach early phases, so these are used."""
        complete = False
        for phase, _, how in (moment.partition("-") for moment in moments.split()):
            injected = False
            while not injected:
                injected = self.run_and_interrupt(verb, self._reachable_phase(verb, phase, complete), how)
                complete |= not injected

    def _reachable_phase(self, verb: str, phase: str, complete: bool) -> str:
        if complete:
            return "start" if verb == "teardown" else "plan"
        return "apply" if phase == "attached" and not self._terraform() else phase

    def _check_completed(self, child: "subprocess.Popen[str]", verb: str, output: Path, when: str) -> None:
        self.report(f"{verb} ended with {child.returncode} {when}")
        assert child.returncode == 0, output.read_text() + "\n" + "\n".join(self.log)

    def run(self, *arguments: str, code: int = 0) -> str:
        started = time.monotonic()
        result = self.lab.run(["pneumoctl", *arguments], code=None, timeout=RUN_S)
        self.report(f"{' '.join(arguments)}: {result.returncode} after {time.monotonic() - started:.1f} s")
        assert result.returncode == code, f"{result.stdout}\n{result.stderr}\n" + "\n".join(self.log)
        return result.stdout + result.stderr

    def interrupt_up_and_teardown(self, moments: dict[str, str]) -> None:
        """`up` and `teardown`, each interrupted in every phase."""
        self.interrupt_in_phases("up", moments["up"])
        self.run("up", "-y")
        self.run("plan", "--exit-code")
        self.check_consistent()
        self.interrupt_in_phases("teardown", moments["teardown"])
        self.run("teardown", "-y")
        self.check_nothing_left()

    def check_consistent(self) -> None:
        """Check that AWS, terraform's state, the inventory and the running hosts agree on every resource."""
        state = json.loads(self.lab.run(["terraform", "state", "pull"], cwd=self.directory / "terraform").stdout)
        listed = account.addresses(state)
        assert sorted(set(listed)) == sorted(listed)
        resources = account.in_state(state)
        assert [resource for resource, count in resources.items() if count > 1] == []
        assert account.existing(self.lab) - self.before == set(resources)
        inventory = json.loads((self.directory / "inventory.json").read_text())["hosts"]
        wait_for("the hosts of killed runs to be gone", lambda: self._hosts() == self._expected(inventory))

    def _hosts(self) -> set[tuple[str, ...]]:
        return {(host["name"], host["id"], host["private_ip"], host["state"]) for host in self.lab.hosts()}

    def _expected(self, inventory: list[dict[str, Any]]) -> set[tuple[str, ...]]:
        return {(host["name"], host["instance_id"], host["address"], "up") for host in inventory}

    def check_nothing_left(self) -> None:
        """Check that nothing is left in AWS or on this machine."""
        assert account.existing(self.lab) - self.before == set()
        wait_for("the hosts to be gone", lambda: not self.lab.hosts())
        records = {"default.audit.head", "default.audit.jsonl"}
        assert {path.name for path in self.state_dir.iterdir()} - {"default.mac-keys.json"} == records
        assert not Group(f"{self.lab.paths.prefix}/operator").populated()
