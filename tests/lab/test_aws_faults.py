"""SSH to hosts that are dead, cut off or not who they were, behind a bastion that lives: no hang, no guess."""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.lab.operated import Arrival, Operator
from tests.lab.small import until

LONGEST_S = 15.0
KEYS = "/etc/ssh/ssh_host_*"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and after how many seconds."""

    code: int
    err: str
    seconds: float


@dataclass(frozen=True)
class Hurt:
    """What was said while web-0 was dead, app-0 cut off, app-1 another, and monitoring cut in a session."""

    dead: Ended
    cut: Ended
    changed: Ended
    session: Ended
    bastion: Ended
    status: dict[str, str]  # host -> what `status` says of SSH to it


@pytest.fixture(scope="module")
def hurt(operator: Operator, arrived: Arrival) -> Hurt:
    """All at once, for each takes its time; everything is mended when it is known."""
    fault = operator.lab.fault
    fault.on("app-1", ["sh", "-c", f"mkdir /root/kept && cp -p {KEYS} /root/kept"])
    session = operator.start("ssh", "monitoring", "--", "echo there; sleep 60")
    assert session.stdout and session.stdout.readline() == "there\n"
    fault.kill("web-0")
    fault.cut("app-0")
    fault.cut("monitoring")
    fault.change_keys("app-1")
    try:
        return told(operator, session)
    finally:
        session.kill()
        mend(operator)


def told(operator: Operator, session: "subprocess.Popen[str]") -> Hurt:
    """Ask for all hosts at the same time."""
    with ThreadPoolExecutor(6) as pool:

        def ssh(host: str) -> Future[Ended]:
            return pool.submit(timed, lambda: operator.run("ssh", host, "--", "echo reached", code=None))

        lost = pool.submit(timed, lambda: finish(session))
        dead, cut, changed, bastion = ssh("web-0"), ssh("app-0"), ssh("app-1"), ssh("nginx")
        hosts = operator.json("status", code=1)["hosts"]
        said = {one["name"]: one["ssh"] for one in hosts}
        return Hurt(dead.result(), cut.result(), changed.result(), lost.result(), bastion.result(), said)


def finish(session: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    _, err = session.communicate(timeout=60)
    return subprocess.CompletedProcess((), session.returncode, "", err)


def timed(run: "Callable[[], subprocess.CompletedProcess[str]]") -> Ended:
    started = time.monotonic()
    done = run()
    return Ended(done.returncode, done.stderr, time.monotonic() - started)


def mend(operator: Operator) -> None:
    fault, ec2 = operator.lab.fault, operator.lab.client()
    fault.on("app-1", ["sh", "-c", f"rm {KEYS}; mv /root/kept/* /etc/ssh/; rmdir /root/kept; systemctl restart ssh"])
    for host in ("app-0", "monitoring"):
        fault.restore(host)
    identity = operator.lab.host("web-0")["id"]
    ec2.stop_instances(InstanceIds=[identity])
    operator.lab.await_host("web-0", "down", 30)
    ec2.start_instances(InstanceIds=[identity])
    operator.lab.await_host("web-0", "up", 30)


@pytest.mark.parametrize(("which", "host"), [("dead", "web-0"), ("cut", "app-0")])
def test_a_host_that_is_dead_or_cut_off_is_given_up_and_named(hurt: Hurt, which: str, host: str) -> None:
    ended: Ended = getattr(hurt, which)

    assert ended.code == 1
    assert ended.seconds < LONGEST_S
    assert f"error: {host} (10.20.16." in ended.err and "cannot be reached: " in ended.err
    assert "next: pneumoctl status" in ended.err


def test_a_session_whose_link_is_cut_ends(hurt: Hurt) -> None:
    assert hurt.session.code == 1
    assert hurt.session.seconds < LONGEST_S
    assert "error: monitoring (10.20.0.20) cannot be reached: Timeout, server" in hurt.session.err


def test_the_bastion_is_reached_all_the_while(hurt: Hurt) -> None:
    assert hurt.bastion.code == 0
    assert hurt.status["nginx"] == "booted"


def test_a_changed_host_key_is_a_hard_stop(hurt: Hurt, operator: Operator) -> None:
    identity = operator.known("app-1")["instance_id"]

    assert hurt.changed.code == 1
    assert f"the host key of app-1 ({identity}) is not the one pinned at its creation" in hurt.changed.err
    assert "Nothing was sent to it" in hurt.changed.err
    assert f"terminate {identity}, then: pneumoctl up" in hurt.changed.err


def test_our_own_transport_says_the_same(hurt: Hurt) -> None:
    assert "the host key of app-1" in hurt.status["app-1"]
    assert hurt.status["web-0"] == hurt.status["app-0"] == "no answer within 3.5 s"


def test_what_is_mended_is_reached_again(hurt: Hurt, operator: Operator) -> None:
    until("every host to answer", lambda: operator.run("status", code=None).stdout.count(" run ") >= 5, 60)
    assert operator.run("ssh", "app-1", "--", "hostname").stdout == "app-1\n"
