"""Compare `pneumoctl configure` of five fresh hosts with plain ssh in a shell loop and with pyinfra, in the lab.

`python -m tests.bench.bench_configure [--rounds N]`; needs what the lab needs, and PyPI for pyinfra, which goes into an
environment of its own. All do what pneumoctl's plan says: the same packages, files, trees, environments and services.
Ours also judges every file before it is swapped, waits until all answers, and proves it by a prediction through the
front door; the others need not. Each begins on fresh hosts, and what pneumoctl still finds to do after it is printed.
Ours runs beside every one of the others anew, before it or (every second round) after it, and is compared with that one
alone: whatever else the machine does changes within minutes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import contestants
from tests.lab.machine.lab import Lab
from tests.lab.machine.paths import ROOT
from tests.lab.machine.requirements import missing

PYINFRA = "pyinfra==3.10.0"
GOAL = 1.0
CODE = ("pneumoctl", "templates", "terraform", "webapp", "model", "tests")
SERIAL, PARALLEL, SHARED = "ssh, host after host", "ssh, all hosts at once", "ssh, at once, connections kept"
OURS, THEIRS, AGAIN = "pneumoctl", "pyinfra", ", nothing to do"
CHANGED = "templates/prometheus/alerts.yml.j2"  # gets a line more


@dataclass
class Bench:
    """A lab, and a separate copy of the code, so that edits during the measurement have no effect."""

    lab: Lab
    seconds: dict[str, list[float]] = field(default_factory=dict)
    ratios: dict[str, list[float]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.lab.paths.home

    @property
    def ssh(self) -> Path:
        """Where the stack's key, pins and ssh configuration are."""
        return self.home / ".local/state/pneumoctl/default/ssh"

    def copy(self) -> None:
        ignored = shutil.ignore_patterns("__pycache__", ".terraform")
        for name in CODE:
            shutil.copytree(ROOT / name, self.home / "code" / name, ignore=ignored)

    def run(self, what: str, argv: list[str], cwd: Path | None = None) -> str:
        """Run as the operator; keeps the wall time of a command that succeeds, under `what` if that is given."""
        environment = {"PNEUMO_APP_COUNT": "2", "PYTHONPATH": str(self.home / "code"), "PYTHONDONTWRITEBYTECODE": "1"}
        out, err = self.home / "out", self.home / "err"
        with out.open("w") as stdout, err.open("w") as stderr:  # no pipes: a kept ssh connection would hold them open
            started = time.perf_counter()
            child = self.lab.start(argv, environment, stdout=stdout, stderr=stderr, cwd=cwd or self.home)
            code, seconds = child.wait(900), time.perf_counter() - started
        if code:
            raise RuntimeError(
                f"{what or argv} ended with {code}:\n{out.read_text()[-3000:]}\n{err.read_text()[-3000:]}"
            )
        if what:
            self.seconds.setdefault(what, []).append(seconds)
            print(f"  {what}: {self.seconds[what][-1]:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
        return out.read_text()

    def operated(self, word: str) -> str:
        return self.run("", [sys.executable, "-P", "-m", "tests.bench.operated", word])

    def fresh(self) -> contestants.Todo:
        """Replace every host by a new machine with an empty disk and pin its key. Returns the steps for each."""
        if self.lab.hosts():
            for host in self.lab.hosts():
                self.lab.fault.replace(host["id"])
            time.sleep(2)  # two of the reconciler's looks
            for host in self.lab.hosts():
                self.lab.wait_for_host(host["id"], "up")
            (self.ssh / "known_hosts").unlink()
        self.operated("provision")
        todo = contestants.read(self.operated("todo"))
        contestants.sources(todo, self.home / "trees")
        return todo

    def left(self) -> None:
        """Print the steps that pneumoctl still finds after another tool."""
        state = {
            host: [step["title"] for step in steps] for host, steps in contestants.read(self.operated("left")).items()
        }
        print("    left:", json.dumps({host: steps for host, steps in state.items() if steps}), flush=True)


def ours(bench: Bench) -> None:
    """Fresh hosts, nothing to do, and a line more in one file."""
    configure = [sys.executable, "-P", "-m", "pneumoctl", "configure", "-y"]
    bench.fresh()
    bench.run(OURS, configure)
    bench.run(f"{OURS}{AGAIN}", configure)
    template = bench.home / "code" / CHANGED
    was = template.read_text()
    template.write_text(was + "# a line more\n")
    bench.run(f"{OURS}, a line changed", configure)
    template.write_text(was)


def by_ssh(bench: Bench, what: str) -> None:
    """A script a host, one after another or at once."""
    folder, config = bench.home / "scripts", bench.ssh / "config"
    shutil.rmtree(folder, ignore_errors=True)
    todo = bench.fresh()
    folder.mkdir()
    if what == SHARED:
        ssh_config = f"Host *\n  ControlMaster auto\n  ControlPersist 60\n  ControlPath {folder}/%C\n"
        config = folder / "config"
        config.write_text((bench.ssh / "config").read_text() + ssh_config)
    for host, steps in todo.items():
        (folder / f"{host}.sh").write_text(contestants.script(host, steps, config, folder / "files"))
    names = " ".join(todo)
    loop = f"for host in {names}; do sh $host.sh; done"
    if what != SERIAL:
        loop = (
            f'pids=; for host in {names}; do sh $host.sh & pids="$pids $!"; done; for pid in $pids; do wait $pid; done'
        )
    bench.run(what, ["sh", "-ec", loop], folder)
    bench.left()


def by_pyinfra(bench: Bench) -> None:
    """The same from a deploy file; then once more."""
    environment, folder = bench.home / "pyinfra", bench.home / "deploy"
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin/pip", "install", "-q", PYINFRA], check=True)
    shutil.rmtree(folder, ignore_errors=True)
    todo = bench.fresh()
    config = bench.home / "pyinfra_ssh_config"
    lines = [line for line in (bench.ssh / "config").read_text().splitlines() if "ProxyJump none" not in line]
    config.write_text("\n".join(lines).replace("StrictHostKeyChecking yes", "StrictHostKeyChecking no"))
    argv = [str(environment / "bin/pyinfra"), *contestants.deploy(todo, config, folder)]
    bench.run(THEIRS, argv, folder)
    bench.left()
    bench.run(f"{THEIRS}{AGAIN}", argv, folder)


OTHERS: dict[str, Callable[[Bench], None]] = {
    SERIAL: lambda bench: by_ssh(bench, SERIAL),
    PARALLEL: lambda bench: by_ssh(bench, PARALLEL),
    SHARED: lambda bench: by_ssh(bench, SHARED),
    THEIRS: by_pyinfra,
}


def pair(bench: Bench, name: str, first: bool) -> None:
    """Measure another tool, and pneumoctl before or after it."""
    for turn in (ours, OTHERS[name]) if first else (OTHERS[name], ours):
        turn(bench)
    for what, mine in ((name, OURS), (f"{name}{AGAIN}", f"{OURS}{AGAIN}")):
        if what in bench.seconds:
            bench.ratios.setdefault(what, []).append(bench.seconds[what][-1] / bench.seconds[mine][-1])


def report(bench: Bench) -> bool:
    """Print the medians and the median ratios to pneumoctl. Returns whether no other tool was faster."""
    for what, times in bench.seconds.items():
        ratios = bench.ratios.get(what, [])
        comparison = (
            f"{statistics.median(ratios):5.2f} x ours ({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
            if ratios
            else ""
        )
        print(f"{what:<36} {statistics.median(times):6.1f} s  n={len(times)}  {comparison}")
    return all(statistics.median(ratios) >= GOAL for ratios in bench.ratios.values())


def main() -> int:
    """All contestants in turn, round after round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--name", default="bench", help="the lab's; it is taken down in the end")
    parser.add_argument("--only", choices=OTHERS, action="append", help="this contestant; may be given again")
    arguments = parser.parse_args()
    wanting = missing()
    if wanting:
        print("no lab on this machine:", *wanting, sep="\n  ", file=sys.stderr)
        return 1
    bench = Bench(Lab(arguments.name))
    bench.lab.down()
    try:
        bench.lab.up()
        bench.copy()
        for number in range(arguments.rounds):
            print(f"round {number + 1}", flush=True)
            for name in arguments.only or OTHERS:
                pair(bench, name, first=number % 2 == 0)
    finally:
        bench.lab.down()
    print(f"goal: nobody quicker: {'met' if report(bench) else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
