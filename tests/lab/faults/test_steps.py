"""Faults in the middle of steps of configure, deploy and rollback: pneumoctl reports them, and a rerun repairs them.

`make test` applies one fault. `make test-all` applies every fault, each in another kind of step; the pairs are always
the same, unless PNEUMO_SWEEP_SEED is set. PNEUMO_SWEEP=all applies every fault in every kind of step.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.faults import host_faults
from tests.lab.hosts import releases
from tests.lab.hosts.traffic import Traffic
from tests.lab.stack_operator import Operator
from tests.lab.wait import wait_for

Prepare = Callable[[Operator, Path], tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """A kind of step: its host, the command at which it is paused, and a function that makes it pending."""

    host: str
    paused_at: str
    step: str
    prepare: Prepare


def change_by_hand(host: str, script: str) -> Prepare:
    def prepare(operator: Operator, folder: Path) -> tuple[str, ...]:
        operator.lab.fault.run_on_host(host, ["sh", "-c", script])
        return ("configure", "-y")

    return prepare


def deploy_release(kind: str, lock: bool = False) -> Prepare:
    def prepare(operator: Operator, folder: Path) -> tuple[str, ...]:
        source = releases.checkout(folder, kind, releases.NO_CHANGE, str(time.time_ns()))
        if lock:
            with (source / "webapp" / ("ui" if kind == "web" else "api") / "requirements.txt").open("a") as file:
                file.write(f"# {time.time_ns()}\n")
        return ("deploy", kind, "-y", "--source", str(source))

    return prepare


def deploy_model(operator: Operator, folder: Path) -> tuple[str, ...]:
    return ("deploy", "model", "-y", "--bundle", str(releases.renamed_model(folder / "model", f"m{time.time_ns()}")))


def roll_back(kind: str) -> Prepare:
    def prepare(operator: Operator, folder: Path) -> tuple[str, ...]:
        deploy = deploy_model if kind == "model" else deploy_release(kind)
        operator.run(*deploy(operator, folder))  # a host that was made later has no previous release
        return ("rollback", kind, "-y")

    return prepare


def append_comment(path: str) -> str:
    return f"echo '# by hand' >>{path}"


OLD_RELEASES = (
    'cd /srv/pneumoctl/web/releases; for n in 1 2 3 4 5 6; do mkdir -p old$n/webapp; touch -d "2 days ago" old$n; done'
)
CASES = {
    "packages": Case(
        "web-1", "apt-get", "Install the packages", change_by_hand("web-1", "apt-get -qq -y remove python3-venv")
    ),
    "service": Case(
        "app-1",
        "systemctl",
        "node exporter",
        change_by_hand("app-1", append_comment("/etc/default/prometheus-node-exporter")),
    ),
    "redis": Case(
        "app-0", "systemctl", "Configure Redis", change_by_hand("app-0", append_comment("/etc/redis/redis.conf"))
    ),
    "certificate": Case(
        "nginx",
        "systemctl",
        "Install the certificate",
        change_by_hand("nginx", append_comment("/etc/pneumoctl/tls/own/fullchain.pem")),
    ),
    "front door": Case(
        "nginx", "systemctl", "front door", change_by_hand("nginx", append_comment("/etc/nginx/nginx.conf"))
    ),
    "prometheus": Case(
        "monitoring",
        "systemctl",
        "Prometheus",
        change_by_hand("monitoring", append_comment("/etc/prometheus/prometheus.yml")),
    ),
    "environment file": Case(
        "app-1", "systemctl", "Serve the API", change_by_hand("app-1", append_comment("/etc/pneumoctl/api.env"))
    ),
    "old releases": Case("web-1", "ls -1t", "Remove old releases", change_by_hand("web-1", OLD_RELEASES)),
    "copy release": Case("app-1", "sync", "Copy release", deploy_release("api")),
    "copy model": Case("app-1", "sync", "Copy model", deploy_model),
    "python packages": Case("web-1", "ls /usr", "Install the Python packages", deploy_release("web", lock=True)),
    "serve api": Case("app-1", "systemctl", "Serve the API", deploy_release("api")),
    "serve web": Case("web-1", "systemctl", "Serve the web page", deploy_release("web")),
    "drain": Case("nginx", "systemctl", "Drain", deploy_release("web")),
    "serve model": Case("app-1", "systemctl", "Serve the API", deploy_model),
    "roll back api": Case("app-1", "systemctl", "Serve the API", roll_back("api")),
    "roll back web": Case("web-1", "systemctl", "Serve the web page", roll_back("web")),
    "roll back model": Case("app-1", "systemctl", "Serve the API", roll_back("model")),
}


# Groups of similar cases; one case of each group is chosen.
SIMILAR_CASES = (
    ("packages",),
    ("service", "redis", "prometheus"),
    ("certificate", "front door"),
    ("drain",),
    ("copy release", "copy model"),
    ("python packages",),
    ("serve api", "serve model", "environment file"),
    ("serve web",),
    ("old releases",),
    ("roll back api", "roll back web", "roll back model"),
)


USUAL_SEED = 1  # fixed, so that the result of a test run does not depend on chance
REPRESENTATIVE = ("serve api", "link cut")


def chosen_pairs() -> list[tuple[str, str]]:
    """The pairs of case and fault. Every fault is chosen at least once."""
    assert {case for kind in SIMILAR_CASES for case in kind} == set(CASES)
    if os.environ.get("PNEUMO_SWEEP") == "all":
        return [(case, fault) for case in CASES for fault in host_faults.FAULTS]
    rng = random.Random(int(os.environ.get("PNEUMO_SWEEP_SEED") or USUAL_SEED))
    cases, faults = [rng.choice(kind) for kind in SIMILAR_CASES], list(host_faults.FAULTS)
    pairs = list(zip(rng.sample(cases, len(faults)), faults, strict=True))
    return [REPRESENTATIVE, *(pair for pair in pairs if pair != REPRESENTATIVE)]


PAIRS = [
    pytest.param(*pair, id=", ".join(pair), marks=() if pair == REPRESENTATIVE else pytest.mark.repeat)
    for pair in chosen_pairs()
]


def apply_fault(operator: Operator, name: str, fault: str, folder: Path) -> str:
    """Apply one fault to a stack in its desired state, repair the stack, and return a line about the result."""
    case, (inject, codes) = CASES[name], host_faults.FAULTS[fault]
    files = host_faults.ManagedFiles(operator, case.host)
    files.allow_current()
    argv = case.prepare(operator, folder)
    files.allow_current()  # as changed by hand, or as before the deploy
    with host_faults.PausedStep(operator, case.host, case.paused_at) as paused:
        try:
            outcome = host_faults.run_with_fault(operator, paused, argv, inject)
            if case.host in ("app-1", "web-1"):  # another host serves in its place
                Traffic(operator).upload(0)
        finally:
            host_faults.end_fault(operator, paused)
    assert outcome.code in codes, f"exit {outcome.code}:\n{outcome.output}"
    assert "Traceback" not in outcome.output and "Error:" not in outcome.output.replace("OSError:", ""), outcome.output
    if outcome.code in (6, 10):
        assert case.host in outcome.output and case.step in outcome.output and "next: " in outcome.output, (
            outcome.output
        )
    left = files.now()
    assert files.incomplete() == ""
    wait_for("the front door to serve", lambda: _serves(operator))
    began = time.monotonic()
    operator.run(*argv)
    rerun = time.monotonic() - began
    files.allow_current()  # the desired contents
    unexpected = [path for path, digest in left.items() if digest not in files.allowed.get(path, ())]
    if name == "drain":  # a configuration of nginx without this host is complete, too
        unexpected = [path for path in unexpected if path != "/etc/nginx/nginx.conf"]
    assert not unexpected, f"neither as before nor as planned: {unexpected}"
    assert files.incomplete() == ""
    changed_again = operator.json("configure", "-y")["changed"]
    assert changed_again == [], changed_again
    Traffic(operator).upload(0)
    return f"| {name} | {fault} | {outcome.seconds:.1f} s | {outcome.code} | {rerun:.1f} s |"


def _serves(operator: Operator) -> bool:
    try:
        Traffic(operator).upload(0)
    except Exception:
        return False
    return True


@pytest.mark.parametrize(("case", "fault"), PAIRS)
def test_a_fault_during_a_step_is_reported_and_a_rerun_converges(
    operator: Operator, tmp_path: Path, case: str, fault: str
) -> None:
    if CASES[case].host == "web-1" or case == "drain":  # a single host is not drained
        operator.settings |= {"PNEUMO_WEB_COUNT": "2"}
        operator.run("up", "-y")
    print(apply_fault(operator, case, fault, tmp_path))
