"""The plan that makes the training host ready and begins a run there: packages, release, order, guard, unit."""

import json
from dataclasses import asdict, dataclass

from pneumoctl.files import Tree, bundled
from pneumoctl.hosts.configure import node_exporter
from pneumoctl.hosts.layout import ETC, INSTALL_S, ROOT, UNITS
from pneumoctl.hosts.steps import active, installed
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Copy, Link, Plan, Put, Run, Step, holds, matches

HOST = "train"
UNIT = "pneumoctl-train"
ORDER = f"{ETC}/train/order.json"
PROGRESS = f"/run/{UNIT}/progress.json"
RUNS = "/var/lib/pneumoctl/runs"  # RUNS/ID/progress.jsonl is what the client follows
GUARD = "/var/lib/pneumoctl/guard.json"
BEGIN = "Begin the run"
BEGUN_S = 60


@dataclass(frozen=True)
class Order:
    """What the training host is to do; model/host_run.py reads it there.

    data: digest of the data set's manifest in the bucket. arguments: for model.train. stall_s: seconds without any
    progress after which the run is ended.
    """

    run: str
    stack: str
    bucket: str
    region: str
    data: str
    arguments: tuple[str, ...] = ()
    resume: bool = False
    gpu: bool = True
    stall_s: int = 1800
    spot: bool = False

    def document(self) -> str:
        """As the host reads it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Release:
    """The training code and the locks of its packages; `digest` names it."""

    digest: str
    lock: str  # digest of both locks
    source: Tree  # the folder model/


def plan(order: Order, release: Release, seconds: float) -> Plan:
    """Everything up to the run's first sign of life. `seconds`: how long the host may stay on from now."""
    return Plan(
        f"training run {order.run}",
        (_guard(), _packages(), node_exporter(HOST), *_bring(release), _begin(order, release, seconds)),
    )


def _guard() -> Step:
    """The guard of this pneumoctl, which may be newer than the host; without its timer nothing is begun."""
    program = bundled("terraform").joinpath("user_data/guard.py").read_text()
    put = Put(program, "/usr/local/sbin/pneumoctl-guard", 0o755, group="root")
    asks = active("pneumoctl-guard.timer")
    return Step("See that the host guards itself", (HOST,), (put,), (holds(put), asks), good=(asks,))


def _packages() -> Step:
    """Ubuntu 22.04 has a Python that is too old, and a newer one beside it."""
    install = Run(("sh", "-c", _PACKAGES), INSTALL_S, "apt-get install python3-venv, prometheus-node-exporter")
    probe = Run(("sh", "-c", f"{_NAMES}\n{_INSTALLED}"))
    return Step("Install the packages of train", (HOST,), (install,), (probe, installed(("prometheus-node-exporter",))))


_NAMES = """set -eu
python=python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || python=python3.11
"""
_INSTALLED = '"$python" -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null'
_PACKAGES = f"""{_NAMES}
apt() {{ DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }}
apt update
apt -y -o Dpkg::Options::=--force-confold install --no-install-recommends "$python-venv" prometheus-node-exporter curl
"""


def _bring(release: Release) -> tuple[Step, ...]:
    stack = f"{ROOT}/train/releases/{release.digest}"
    copy = Copy(release.source, f"{stack}/model")
    venv = f"{ROOT}/venvs/train-{release.lock}"
    install = Run(
        ("sh", "-c", _INSTALL, "sh", venv, f"{stack}/model"),
        2 * INSTALL_S,
        "pip install --require-hashes -r model/requirements.txt",
    )
    link = Link(f"{stack}/venv", venv)
    current = Link(f"{ROOT}/train/current", f"releases/{release.digest}")
    ready = Run(("sh", "-c", 'test -e "$1/complete" && test "$(readlink "$2")" = "$1"', "sh", venv, link.path))
    pointed = Run(("sh", "-c", 'test "$(readlink "$1")" = "$2"', "sh", current.path, current.target))
    return (
        Step(f"Copy release {release.digest} (train) to train", (HOST,), (copy,), (matches(copy),)),
        Step("Install the Python packages of train", (HOST,), (install, link, current), (ready, pointed)),
    )


# With NVIDIA's driver there, CUDA comes as wheels, too, of the versions that this TensorFlow was built for. What is
# imported once is compiled for good: the run itself writes nothing there.
_INSTALL = f"""{_NAMES}
venv=$1 model=$2
test ! -e "$venv/complete" || exit 0
rm -rf "$venv"
"$python" -m venv --without-pip "$venv"
pip=$(ls /usr/share/python-wheels/pip-*.whl)/pip
install() {{
  "$venv/bin/python" "$pip" install -q --disable-pip-version-check --no-input --no-cache-dir --no-compile \\
    --require-hashes --only-binary :all: --no-deps -r "$1"
}}
install "$model/requirements.txt"
test ! -e /proc/driver/nvidia/version || install "$model/requirements-cuda.txt"
TF_CPP_MIN_LOG_LEVEL=3 "$venv/bin/python" -c 'import boto3, tensorflow'
touch "$venv/complete"
"""


def _begin(order: Order, release: Release, seconds: float) -> Step:
    """The guard knows of the run before it begins. Done when the run has told something of itself."""
    unit = render(
        f"systemd/{UNIT}.service",
        release=f"{ROOT}/train/releases/{release.digest}",
        order=ORDER,
        seconds=int(seconds),
    )
    files = (
        Put(order.document(), ORDER, 0o644, group="root"),
        Put(unit, f"{UNITS}/{UNIT}.service", 0o644, group="root"),
    )
    until = json.dumps({"run": order.run, "seconds": seconds, "stall_s": order.stall_s})
    actions = (
        *files,
        Run(("python3", "-c", _ARM, GUARD, until), 10, "tell the host's guard of the deadline"),
        Run(("systemctl", "daemon-reload")),
        Run(("systemctl", "start", f"{UNIT}.service"), 60, "start the run"),
    )
    begun = Run(("sh", "-c", _BEGUN, "sh", PROGRESS, order.run, str(BEGUN_S)), BEGUN_S + 10, "the run's first word")
    runs = Run(("systemctl", "is-active", "--quiet", f"{UNIT}.service"))
    return Step(BEGIN, (HOST,), actions, (*(holds(one) for one in files), runs), good=(begun,))


# By the time since boot, which nobody sets; the clock's is for people.
_ARM = """import json, os, sys, time
path, order = sys.argv[1], json.loads(sys.argv[2])
seconds = order.pop("seconds")
boot = open("/proc/sys/kernel/random/boot_id").read().strip()
uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
order |= {"boot": boot, "until_uptime": uptime + seconds, "until": time.time() + seconds}
with open(path + ".new", "w") as file:
    json.dump(order, file)
    file.flush()
    os.fsync(file.fileno())
os.replace(path + ".new", path)
"""
_BEGUN = """end=$(($(date +%s) + $3))
until grep -qs "$2" "$1"; do
  systemctl is-active --quiet pneumoctl-train.service || { journalctl -q -o cat -n 15 -u pneumoctl-train; exit 1; }
  test "$(date +%s)" -lt "$end" || { echo "no word of it in $3 s"; exit 1; }
  sleep 0.2
done
"""
