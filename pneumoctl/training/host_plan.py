"""The plan that prepares the training host and starts a run there: guard, packages, release, order, unit."""

import json
from dataclasses import asdict, dataclass

from pneumoctl.files import Tree, bundled
from pneumoctl.hosts.configure import node_exporter
from pneumoctl.hosts.layout import ETC, INSTALL_S, ROOT, UNITS
from pneumoctl.hosts.steps import APT_INSTALL, APT_UPDATE, active, installed, link_matches
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Copy, Link, Plan, Probe, Put, Run, Step, file_matches, tree_matches

HOST = "train"
UNIT = "pneumoctl-train"
ORDER = f"{ETC}/train/order.json"
PROGRESS = f"/run/{UNIT}/progress.json"
RUNS = "/var/lib/pneumoctl/runs"  # RUNS/ID is a run's directory
GUARD = "/var/lib/pneumoctl/guard.json"
START = "Start the run"
STARTED_S = 60  # until the run reports its first progress


@dataclass(frozen=True)
class Order:
    """What the training host does; model/host_run.py reads it there.

    data: digest of the data set's manifest in the bucket. arguments: for model.train. stall_s: seconds without
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
        """The order as JSON, as the host reads it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Release:
    """The training code, named by its digest, and the lock files of its packages."""

    digest: str
    lock: str  # digest of both lock files
    source: Tree  # the folder model/


def plan(order: Order, release: Release, seconds: float) -> Plan:
    """All steps until the run reports its first progress. `seconds`: how long the host may stay on from now."""
    return Plan(
        f"training run {order.run}",
        (_guard(), _packages(), node_exporter(HOST), *_install_release(release), _start(order, release, seconds)),
    )


def _guard() -> Step:
    """Install the guard of this pneumoctl, which may be newer than the host's. Without its timer no run is started."""
    program = bundled("terraform").joinpath("user_data/guard.py").read_text()
    put = Put(program, "/usr/local/sbin/pneumoctl-guard", 0o755, group="root")
    timer = active("pneumoctl-guard.timer")
    return Step("Check the host's own guard", (HOST,), (put,), (file_matches(put), timer), verify=(timer,))


def _packages() -> Step:
    """Install Python and the exporter.

    The default Python of Ubuntu 22.04, which only the images for p3 have, is too old; its python3.11 is 3.11.0rc1.
    """
    install = Run(("sh", "-c", _PACKAGES), INSTALL_S, "apt-get install python3-venv, prometheus-node-exporter")
    probe = Probe(("sh", "-c", f"{_NAMES}\n{_INSTALLED}"))
    return Step("Install the packages of train", (HOST,), (install,), (probe, installed(("prometheus-node-exporter",))))


_NAMES = """set -eu
python=python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || python=python3.11
"""
_INSTALLED = '"$python" -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null'
_PACKAGES = f"""{_NAMES}
{APT_UPDATE}
update
DEBIAN_FRONTEND=noninteractive {APT_INSTALL} "$python-venv" prometheus-node-exporter curl
"""


def _install_release(release: Release) -> tuple[Step, ...]:
    directory = f"{ROOT}/train/releases/{release.digest}"
    copy = Copy(release.source, f"{directory}/model")
    venv = f"{ROOT}/venvs/train-{release.lock}"
    install = Run(
        ("sh", "-c", _INSTALL, "sh", venv, f"{directory}/model"),
        2 * INSTALL_S,
        "pip install --require-hashes -r model/requirements.txt",
    )
    link = Link(f"{directory}/venv", venv)
    current = Link(f"{ROOT}/train/current", f"releases/{release.digest}")
    ready = Probe(("sh", "-c", 'test -e "$1/complete" && test "$(readlink "$2")" = "$1"', "sh", venv, link.path))
    linked = link_matches(current)
    return (
        Step(f"Copy release {release.digest} (train) to train", (HOST,), (copy,), (tree_matches(copy),)),
        Step("Install the Python packages of train", (HOST,), (install, link, current), (ready, linked)),
    )


# With NVIDIA's driver installed, CUDA comes as wheels of the versions that this TensorFlow was built for. The import
# compiles the modules once: the run itself cannot write there.
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


def _start(order: Order, release: Release, seconds: float) -> Step:
    """Write the order for the guard, then start the run. Done when the run has reported its first progress."""
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
    arguments = (PROGRESS, order.run, str(STARTED_S))
    started = Probe(("sh", "-c", _STARTED, "sh", *arguments), STARTED_S + 10, "the run reports progress")
    active_unit = active(f"{UNIT}.service")
    return Step(START, (HOST,), actions, (*(file_matches(file) for file in files), active_unit), verify=(started,))


# The guard goes by the time since boot, which no clock correction changes; `until` is for people.
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
_STARTED = """end=$(($(date +%s) + $3))
until grep -qs "$2" "$1"; do
  systemctl is-active --quiet pneumoctl-train.service || { journalctl -q -o cat -n 15 -u pneumoctl-train; exit 1; }
  test "$(date +%s)" -lt "$end" || { echo "the run reported no progress within $3 s"; exit 1; }
  sleep 0.2
done
"""
