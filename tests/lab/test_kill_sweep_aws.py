"""SIGKILL, loss of power and Ctrl-C at random moments of up and of teardown: run again, both always reach their end."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import everything
from tests.lab.cgroups import Group
from tests.lab.conftest import own_name
from tests.lab.lab import Lab
from tests.lab.machine import missing
from tests.lab.small import until

pytestmark = pytest.mark.timeout(1200)
# What a run is doing -> the longest time after the beginning of that at which it is struck, in seconds.
# `apply`: the first thing is being made or destroyed. `attached`: it waits for the terraform that a killed one left.
# `end`: terraform is through; hosts boot, or AWS is asked what is left.
PHASES = {"start": 2.0, "init": 1.0, "plan": 6.0, "setout": 4.0, "apply": 6.0, "attached": 3.0, "end": 0.5}
# k: SIGKILL of pneumoctl alone. p: SIGKILL of everything at once, terraform and its provider too. i: Ctrl-C.
KILLED = {
    "up": "start-k init-p plan-k apply-p apply-p setout-k attached-p apply-k attached-k end-p",
    "teardown": "start-k setout-p apply-p setout-k attached-p apply-p apply-k attached-k attached-k end-p",
}
INTERRUPTED = {
    "up": "start-i init-i plan-i plan-i setout-i apply-i apply-i apply-i apply-i end-i",
    "teardown": "start-i start-i setout-i setout-i apply-i apply-i apply-i apply-i apply-i end-i",
}
STATE = Path(".local/state/pneumoctl")
RUN_S = 300.0


@dataclass
class Sweep:
    """One operator who is interrupted again and again. `log`: what happened, for whoever reads a failure."""

    lab: Lab
    chance: random.Random
    log: list[str] = field(default_factory=list)
    attached: int = 0
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.place = self.lab.places.home / STATE
        self.directory = self.place / "default"
        self.before = everything.there(self.lab)

    def say(self, text: str) -> None:
        self.log.append(f"{time.monotonic() - self.begun:6.1f} {text}")
        print(f"{self.lab.places.name} {self.log[-1]}", flush=True)

    # --- one run that is struck ---------------------------------------------------------------------------------------

    def strike(self, verb: str, phase: str, how: str) -> bool:
        """Run a verb and strike it in a phase; False if it ended before."""
        delay = self.chance.uniform(0, PHASES[phase])
        with (self.lab.places.home / "said").open("w+") as said:
            child = self.lab.start(["pneumoctl", verb, "-y"], stdout=said, stderr=subprocess.STDOUT)
            reached = self._await(child, phase, Path(said.name), self._terraform(), self._done())
            if reached:
                time.sleep(delay)
            if child.poll() is not None:
                self._ended(child, verb, Path(said.name), f"before {phase} + {delay:.1f} s")
                return False
            terraform = self._terraform()
            self.say(f"{verb}: {phase} + {delay:.1f} s: {how}; {' '.join(terraform) or 'no terraform'}")
            {"k": self._kill, "p": self._lose_power, "i": self._interrupt}[how](child, Path(said.name), terraform)
        return True

    def _await(self, child: "subprocess.Popen[str]", phase: str, said: Path, terraform: list[str], done: int) -> bool:
        deadline = time.monotonic() + RUN_S
        while child.poll() is None:
            text = said.read_text()
            now = self._terraform()
            reached = {
                "start": f'"pid": {child.pid},' in self._text(self.place / "default.lock"),
                "init": "terraform init" in " ".join(now),
                "plan": now != terraform and "terraform plan" in " ".join(now),
                "setout": "terraform apply" in " ".join(now) and now != terraform,
                "apply": "terraform apply" in " ".join(now) and self._acts(),
                "attached": "is still running" in text,
                "end": self._done() > done or "nothing to do" in text,
            }
            if reached[phase]:
                return True
            assert time.monotonic() < deadline, f"{phase} not reached:\n{text}\n" + "\n".join(self.log)
            time.sleep(0.02)
        return False

    def _kill(self, child: "subprocess.Popen[str]", said: Path, terraform: list[str]) -> None:
        child.kill()
        child.wait()
        time.sleep(0.05)
        if terraform and "apply" in terraform[-1]:
            assert self._terraform() == terraform, self.log

    def _lose_power(self, child: "subprocess.Popen[str]", said: Path, terraform: list[str]) -> None:
        Group(f"{self.lab.places.prefix}/operator").kill()
        child.wait()
        assert self._terraform() == []

    def _interrupt(self, child: "subprocess.Popen[str]", said: Path, terraform: list[str]) -> None:
        os.killpg(child.pid, signal.SIGINT)
        started = time.monotonic()
        code = child.wait(RUN_S)
        text = said.read_text()
        assert "Traceback" not in text, text
        if code == 0 or "proof: " in text or "front door: " in text:  # it had come to its end at that very moment
            return
        assert code == 130, text
        assert self._terraform() == [], "terraform was left alone"
        if terraform:
            assert "interrupted: terraform finishes" in text, text
            assert "terraform goes on" not in text, text
        self.say(f"    ended {time.monotonic() - started:.1f} s later")

    def _terraform(self) -> list[str]:
        """`PID terraform VERB` of the terraform that runs, empty if none does."""
        try:
            run = json.loads((self.directory / "terraform/.pneumoctl/run.json").read_text())
            words = Path(f"/proc/{run['pid']}/cmdline").read_text().split("\0")
        except (OSError, ValueError):
            return []
        return [str(run["pid"]), run["command"]] if words[0] == "terraform" else []

    def _acts(self) -> bool:
        return '"type":"apply_start"' in self._text(self.directory / "terraform/.pneumoctl/output")

    def _done(self) -> int:
        """How often terraform has done what it was to do."""
        return self._text(self.directory / "journal.jsonl").count('"done"')

    def _text(self, path: Path) -> str:
        try:
            return path.read_text()
        except FileNotFoundError:
            return ""

    # --- sequences ----------------------------------------------------------------------------------------------------

    def sweep(self, verb: str, moments: str) -> None:
        """Strike at each moment. A run that ends before has left nothing to do: the next is struck in what remains."""
        complete = False
        for phase, _, how in (moment.partition("-") for moment in moments.split()):
            struck = False
            while not struck:
                struck = self.strike(verb, self._to_come(verb, phase, complete), how)
                complete |= not struck

    def _to_come(self, verb: str, phase: str, complete: bool) -> str:
        if complete:
            return "start" if verb == "teardown" else "plan"
        return "apply" if phase == "attached" and not self._terraform() else phase

    def _ended(self, child: "subprocess.Popen[str]", verb: str, said: Path, when: str) -> None:
        self.say(f"{verb} ended with {child.returncode} {when}")
        assert child.returncode == 0, said.read_text() + "\n" + "\n".join(self.log)

    def run(self, *words: str, code: int = 0) -> str:
        started = time.monotonic()
        done = self.lab.run(["pneumoctl", *words], code=None, timeout=RUN_S)
        self.say(f"{' '.join(words)}: {done.returncode} after {time.monotonic() - started:.1f} s")
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}\n" + "\n".join(self.log)
        return done.stdout + done.stderr

    def all(self, moments: dict[str, str]) -> None:
        """Up and down again, both struck all the way."""
        self.sweep("up", moments["up"])
        self.run("up", "-y")
        self.run("plan", "--exit-code")
        self.whole()
        self.sweep("teardown", moments["teardown"])
        self.run("teardown", "-y")
        self.gone()

    def whole(self) -> None:
        """AWS, terraform's state, the inventory and the hosts that run are the same, thing by thing."""
        state = json.loads(self.lab.run(["terraform", "state", "pull"], cwd=self.directory / "terraform").stdout)
        listed = everything.addresses(state)
        assert sorted(set(listed)) == sorted(listed)
        known = everything.known(state)
        assert [one for one, count in known.items() if count > 1] == []
        assert everything.there(self.lab) - self.before == set(known)
        inventory = json.loads((self.directory / "inventory.json").read_text())["hosts"]
        until("the hosts of killed runs to be gone", lambda: self._hosts() == self._expected(inventory), 20)

    def _hosts(self) -> set[tuple[str, ...]]:
        return {(one["name"], one["id"], one["private_ip"], one["state"]) for one in self.lab.hosts()}

    def _expected(self, inventory: list[dict[str, Any]]) -> set[tuple[str, ...]]:
        return {(one["name"], one["instance_id"], one["address"], "up") for one in inventory}

    def gone(self) -> None:
        """Nothing is left, in AWS or here."""
        assert everything.there(self.lab) - self.before == set()
        until("the hosts to be gone", lambda: not self.lab.hosts(), 20)
        assert sorted(one.name for one in self.place.iterdir()) == ["default.audit.head", "default.audit.jsonl"]
        assert not Group(f"{self.lab.places.prefix}/operator").populated()


@pytest.fixture(scope="module")
def sweeps() -> Iterator[dict[str, "Future[None]"]]:
    """Both sweeps, each in a lab of its own, at the same time: most of it is waiting for one thing or another."""
    wanting = missing()
    if wanting:
        pytest.skip(f"no lab on this machine: {'; '.join(wanting)}")
    seed = int(os.environ.get("PNEUMO_SWEEP_SEED") or random.SystemRandom().randrange(10**6))
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        begun = {}
        for name, moments in (("killed", KILLED), ("interrupted", INTERRUPTED)):
            lab = Lab(stack.enter_context(own_name()))
            lab.down()
            stack.callback(lab.down)
            lab.up()
            print(f"{lab.places.name}: {name}, PNEUMO_SWEEP_SEED={seed}")
            begun[name] = pool.submit(Sweep(lab, random.Random(f"{name} {seed}")).all, moments)
        yield begun


@pytest.mark.parametrize("name", ["killed", "interrupted"])
def test_ten_strikes_at_up_and_ten_at_teardown_leave_no_orphan_and_no_duplicate(
    sweeps: dict[str, "Future[None]"], name: str
) -> None:
    sweeps[name].result()
