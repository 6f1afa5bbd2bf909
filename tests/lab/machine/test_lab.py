"""Labs are brought up and taken down: several at the same time, and nothing is left of an interrupted one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.machine import mounts, network
from tests.lab.machine.cgroups import with_prefix
from tests.lab.machine.lab import Lab
from tests.lab.machine.paths import ROOT, LabPaths
from tests.lab.two_host_vpc import IMAGE, TwoHostVpc
from tests.lab.wait import wait_for

pytestmark = pytest.mark.repeat  # the tests of the stack use the lab all the time


@pytest.fixture
def second(lab: Lab) -> Iterator[Lab]:
    """A second lab that runs at the same time."""
    made = Lab(f"{lab.paths.name}b")
    made.down()
    yield made
    made.down()


def remains(lab: Lab) -> list[str]:
    """Everything on this machine that belongs to a lab."""
    name = lab.paths.named("")
    processes = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/cgroup")
        if f"/{lab.paths.prefix}/" in _text(path) and ") Z " not in _text(path.with_name("stat"))
    ]
    groups = [group.path for group in with_prefix(lab.paths.prefix) if group.path == lab.paths.prefix]
    loops = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], text=True, capture_output=True
    )
    return [
        *(f"process {pid}" for pid in processes),
        *(f"group {group}" for group in groups),
        *(f"namespace {namespace}" for namespace in network.namespaces(name)),
        *(f"mount {mount}" for mount in mounts.below(lab.paths.directory)),
        *(f"loop {loop}" for loop in loops.stdout.splitlines() if str(lab.paths.directory) + "/" in loop),
        *(f"file {file}" for file in Path("/run/systemd/nspawn").glob(f"*/{name}*")),
        *([f"directory {lab.paths.directory}"] if lab.paths.directory.exists() else []),
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def command(lab: Lab, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.lab", "--name", lab.paths.name, *arguments]


def test_down_ends_a_lab_whose_programs_were_killed_and_leaves_the_other(vpc: TwoHostVpc, second: Lab) -> None:
    subprocess.run(command(second, "up"), cwd=ROOT, check=True, capture_output=True)
    subprocess.run(command(second, "up"), cwd=ROOT, check=True, capture_output=True)
    ec2 = second.client()
    ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    wait_for("its host", lambda: [host["state"] for host in second.hosts()] == ["up"])
    forgotten = second.start(["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for program in ("tests.lab.machine.reconciler", "tests.lab.api"):
        os.kill(process(second, program), signal.SIGKILL)
    assert {line.split()[0] for line in remains(second)} >= {
        "process",
        "group",
        "namespace",
        "mount",
        "loop",
        "directory",
    }

    for _ in range(2):
        result = subprocess.run(command(second, "down"), cwd=ROOT, text=True, capture_output=True)
        assert (result.returncode, result.stderr) == (0, "")
        assert remains(second) == []
    assert forgotten.wait(120) == -signal.SIGKILL
    assert vpc.ssh(vpc.front, "true").returncode == 0


def process(lab: Lab, program: str) -> int:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        arguments = _text(path).split("\0")
        if program in arguments and f"/{lab.paths.prefix}/" in _text(path.parent / "cgroup"):
            return int(path.parent.name)
    raise AssertionError(f"no {program}")


@pytest.mark.parametrize(("begun", "how"), [("network", signal.SIGINT), ("api", signal.SIGTERM)])
def test_an_interrupted_up_leaves_nothing(second: Lab, begun: str, how: signal.Signals) -> None:
    """Interrupted while it creates the network, and while it waits for the API to start."""
    reached = {
        "network": lambda: network.namespaces(second.paths.named("")) != [],
        "api": (second.paths.logs / "api.log").exists,
    }
    up = subprocess.Popen(command(second, "up"), cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(begun, reached[begun], pause=0.01, pause_grows=False)
    up.send_signal(how)

    assert up.wait(900) == 130
    assert remains(second) == []


def test_a_killed_up_is_cleared_by_the_next(second: Lab) -> None:
    up = subprocess.Popen(command(second, "up"), cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for("the first namespace", lambda: network.namespaces(second.paths.named("")) != [], pause_grows=False)
    up.kill()
    up.wait()
    second.up()

    assert second.is_up()
    second.down()
    assert remains(second) == []


@pytest.mark.parametrize("name", ["", "A", "a-b", "../x", "abcdefghijklm", "1a"])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters and digits"):
        LabPaths(name)
