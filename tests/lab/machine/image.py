"""The disk image of all hosts: Debian 12 like the cloud image, and the packages that are installed later.

It is built once from this machine's package sources, saved under $XDG_CACHE_HOME/pneumoctl-lab by a digest of this
recipe, and shared by all labs (each host writes to an overlay). Hosts cannot reach a registry. `apt-get install` and
`pip install` are real on them, and use an apt repository and a folder of wheels inside the image.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.machine import mounts, requirements
from tests.lab.machine.paths import API_URL, REGION, SEED, all_labs
from tests.webapp.locks import LOCKS

# Packages of Debian's cloud image that a host needs at boot.
CLOUD_IMAGE = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "libnss-myhostname", "cloud-init", "openssh-server", "sudo"),
    *("python3", "ca-certificates", "curl", "iproute2", "iputils-ping", "netbase", "procps", "less"),
)
# Packages that provisioning installs on hosts; downloaded with their dependencies.
OFFLINE_PACKAGES = (
    *("nginx", "redis-server", "prometheus", "prometheus-node-exporter", "prometheus-nginx-exporter"),
    *("prometheus-redis-exporter", "python3-venv", "python3-pip", "rsync", "nftables", "unzip", "git"),
)
# Packages for building a virtual environment on a host, in addition to those in the lock files.
OFFLINE_WHEELS = ("pip", "setuptools", "wheel", "hatchling", "boto3")

Run = Callable[..., None]
MIRROR = "srv/mirror"


# In AWS, clients on a host find the API of the region; in the lab, they need its address.
HOST_ENVIRONMENT = (f"AWS_ENDPOINT_URL={API_URL}", f"AWS_REGION={REGION}", "PNEUMOCTL_GPU_STAND_IN=1")
# On hosts with an IAM role only, because nginx on the front door needs port 80 of every address. User data of a later
# boot may not name the host.
IMDS = """\
[Unit]
Description=The lab's stand-in for EC2's metadata service
DefaultDependencies=no
Before=cloud-init.service

[Service]
ExecCondition=/bin/sh -c 'cd /{seed}; grep -q ubuntu vendor-data || grep -qE "{named}" user-data /etc/hostname'
ExecStartPre=/bin/sh -c 'ip address replace 169.254.169.254/32 dev lo'
ExecStart=/usr/bin/python3 -IS /usr/local/lib/lab-imds.py {region}

[Install]
WantedBy=sysinit.target
"""
FILES = {
    "etc/apt/sources.list": f"deb [trusted=yes] file:/{MIRROR}/deb ./\n",
    "etc/pip.conf": f"[global]\nno-index = true\nfind-links = /{MIRROR}/wheels\n",
    # No RSA keys: making them takes longer than the rest of the boot.
    # Only modules that change something on these hosts: starting cloud-init costs more CPU time than systemd's boot.
    "etc/cloud/cloud.cfg.d/99_lab.cfg": """\
datasource_list: [NoCloud]
network: {config: disabled}
ssh_genkeytypes: [ed25519, ecdsa]
ssh_pwauth: false
manage_etc_hosts: true
cloud_init_modules: [set_hostname, update_hostname, update_etc_hosts, users-groups, ssh, set-passwords]
cloud_config_modules: []
cloud_final_modules: [scripts-user, keys-to-console]
system_info:
  default_user:
    name: admin
    groups: [sudo]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
    lock_passwd: true
""",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/systemd/system.conf.d/lab.conf": f"[Manager]\nDefaultEnvironment={' '.join(HOST_ENVIRONMENT)}\n",
    "etc/environment": "".join(f"{variable}\n" for variable in HOST_ENVIRONMENT),
    "etc/machine-id": "",
    "etc/systemd/system/lab-imds.service": IMDS.format(region=REGION, seed=SEED, named="(^|set-hostname )app-"),
    "usr/local/lib/lab-imds.py": Path(__file__).with_name("imds.py").read_text(),
}


def ensure() -> Path:
    """The root directory of the image; it is built if it does not exist (one minute)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pneumoctl-lab"
    cache.mkdir(parents=True, exist_ok=True)
    image = cache / f"image-{_digest()}"
    with _locked(cache / "lock"):
        if not image.is_dir():
            in_use = any(all_labs().glob("*/hosts"))
            for old in [*cache.glob("building-*"), *([] if in_use else cache.glob("image-*"))]:
                _discard(old)
            building = cache / f"building-{image.name}"
            _build(building, cache / "build.log")
            building.rename(image)
    return image


def _digest() -> str:
    locks = "".join(lock.read_text() for lock in LOCKS.values())
    return hashlib.sha256(f"{Path(__file__).read_text()}{FILES}{locks}".encode()).hexdigest()[:12]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _discard(directory: Path) -> None:
    """Remove an older image or a half-built one."""
    mounts.unmount_below(directory)
    subprocess.run(["rm", "-rf", "--one-file-system", directory], check=True)


def _build(root: Path, log_path: Path) -> None:
    with log_path.open("w") as log:

        def run(*argv: str | Path) -> None:
            log.write(f"== {' '.join(map(str, argv))}\n")
            log.flush()
            result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if result.returncode:
                log.flush()
                tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-15:])
                raise RuntimeError(f"the lab's image was not built: {argv[0]} ended with {result.returncode}\n{tail}")

        _debian(root, run)
        _mirror(root, run)
        _settle(root, run)


def _debian(root: Path, run: Run) -> None:
    no_docs = [f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("man", "doc", "locale")]
    options = ["--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Languages none", "--skip=cleanup/apt"]
    sources = [*sorted(Path("/etc/apt/sources.list.d").glob("*.sources")), Path("/etc/apt/sources.list")]
    include = "--include=" + ",".join(CLOUD_IMAGE)
    existing = [path for path in sources if path.exists()]  # the package sources of this machine
    run("mmdebstrap", "--mode=root", "--variant=minbase", *options, *no_docs, include, "bookworm", root, *existing)


def _mirror(root: Path, run: Run) -> None:
    archives, packages, wheels = root / "var/cache/apt/archives", root / MIRROR / "deb", root / MIRROR / "wheels"
    for archive in archives.glob("*.deb"):
        archive.unlink()
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    run("chroot", root, "apt-get", "-qq", "install", "-y", "--download-only", *OFFLINE_PACKAGES)
    packages.mkdir(parents=True)
    for archive in archives.glob("*.deb"):
        _store(archive, packages / archive.name, run)
    index = subprocess.run(
        ["dpkg-scanpackages", "--multiversion", "."], cwd=packages, capture_output=True, text=True, check=True
    )
    (packages / "Packages").write_text(index.stdout)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version=3.11"]
    for lock in LOCKS.values():
        run(*pip, "--dest", wheels, "--require-hashes", "--no-deps", "--requirement", lock)
    run(*pip, "--dest", wheels, *OFFLINE_WHEELS)
    # The Python of a host may need more wheels than the one that downloads. Find out now.
    offline = ("install", "--dry-run", "--quiet", "--no-index", f"--find-links=/{MIRROR}/wheels")
    (bundled, *_) = wheels.glob("pip-*.whl")
    own_pip = f"/{MIRROR}/wheels/{bundled.name}/pip"
    for lock in LOCKS.values():
        shutil.copy(lock, root / "tmp/lock.txt")
        options = ("--require-hashes", "--requirement", "/tmp/lock.txt")
        run("chroot", root, "python3", own_pip, *offline, "--break-system-packages", *options)
        (root / "tmp/lock.txt").unlink()


def _store(archive: Path, stored: Path, run: Run) -> None:
    """Pack a package again without compression, because every host unpacks it."""
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        run("dpkg-deb", "--raw-extract", archive, folder)
        run("dpkg-deb", "-Znone", "--build", folder, stored)
    archive.unlink()


def _settle(root: Path, run: Run) -> None:
    """Remove what a new machine does not have: package lists, host keys, the machine id."""
    for old in [*root.glob("etc/ssh/ssh_host_*"), *root.glob("etc/apt/sources.list.d/*"), root / "etc/resolv.conf"]:
        old.unlink()
    shutil.rmtree(root / "var/lib/apt/lists")
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "var/log/journal").mkdir(exist_ok=True)
    idle = ("apt-daily.timer", "apt-daily-upgrade.timer", "systemd-networkd-wait-online.service")
    # Stages of cloud-init with nothing to do: the network is configured already, and no module is in the second one.
    stages = ("cloud-init-local.service", "cloud-config.service")
    run("systemctl", f"--root={root}", "mask", *idle, *stages)
    run("systemctl", f"--root={root}", "enable", "lab-imds.service")


if __name__ == "__main__":
    missing_requirements = requirements.missing()
    if missing_requirements:
        print(f"no image of the lab's hosts: {'; '.join(missing_requirements)}")
    else:
        print(f"the image of the lab's hosts: {ensure()}")
