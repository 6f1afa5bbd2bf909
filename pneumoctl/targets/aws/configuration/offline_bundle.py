"""Offline bundles: Debian packages and Python wheels for hosts without internet access. Make and read them."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pneumoctl import files as pneumoctl_files
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import package
from pneumoctl.hosts import configure
from pneumoctl.hosts.desired import Offline

ARCHITECTURE = "amd64"  # of all instance types that the settings allow
PYTHON = "3.11"  # the version in Debian 12
PROGRAMS = {"apt-get": "apt", "dpkg": "dpkg", "dpkg-scanpackages": "dpkg-dev"}
TIMEOUT_S = 3600.0
_INSTALLED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)


def read(directory: Path) -> Offline:
    """Read the bundle in a directory. Raises PneumoError (usage) unless it has everything that the hosts install."""
    index = directory / "debs" / "Packages"
    if not index.is_file() or not (directory / "wheels").is_dir():
        raise _unfit(f"{directory} is not an offline bundle: it has no debs/Packages or no wheels/")
    text = index.read_text()
    there = set(re.findall(r"^Package: (\S+)$", text, re.MULTILINE))
    if wanting := sorted(set(configure.every_package()) - there):
        raise _unfit(f"the offline bundle {directory} lacks {', '.join(wanting)}")
    for name in re.findall(r"^Filename: (\S+)$", text, re.MULTILINE):
        if not (index.parent / name).is_file():
            raise _unfit(f"the offline bundle {directory} lacks debs/{name}, which its index names")
    return Offline(pneumoctl_files.tree(index.parent), pneumoctl_files.tree(directory / "wheels"))


def _unfit(message: str) -> PneumoError:
    return PneumoError(message, "on a connected Debian 12: pneumoctl offline-bundle DIRECTORY", Exit.USAGE)


def make(directory: Path) -> tuple[int, int, int]:
    """Download a bundle; the directory appears only when it is complete. Returns (packages, wheels, bytes)."""
    check(Path("/etc/os-release"))
    if directory.exists() and any(directory.iterdir()) and not (directory / "debs" / "Packages").is_file():
        raise PneumoError(f"{directory} contains other files", "give a new directory", Exit.USAGE)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as beside:
        fresh = Path(beside, "bundle")
        debs(fresh / "debs", configure.every_package())
        wheels(fresh / "wheels")
        files = [file for file in fresh.rglob("*") if file.is_file()]
        counts = [sum(file.suffix == suffix for file in files) for suffix in (".deb", ".whl")]
        size = sum(file.stat().st_size for file in files)
        read(fresh)
        if directory.exists():
            directory.rename(Path(beside, "old"))
        fresh.rename(directory)
    return counts[0], counts[1], size


def check(release: Path) -> None:
    """Raise PneumoError (preflight) unless this machine has the Debian release and the architecture of the hosts."""
    text = release.read_text() if release.is_file() else ""
    os_release = dict(line.split("=", 1) for line in text.replace('"', "").splitlines() if "=" in line)
    elsewhere = "run the same command on a Debian 12 machine, or in a debian:12 container"
    if (os_release.get("ID"), os_release.get("VERSION_ID")) != ("debian", "12"):
        name = os_release.get("PRETTY_NAME", "not Debian 12")
        raise PneumoError(f"this is {name}, and the hosts are Debian 12", elsewhere, Exit.PREFLIGHT)
    if missing := [needed for program, needed in PROGRAMS.items() if shutil.which(program) is None]:
        raise PneumoError("a program is missing", f"apt-get install {' '.join(missing)}", Exit.PREFLIGHT)
    here = _run(("dpkg", "--print-architecture")).strip()
    if here != ARCHITECTURE:
        raise PneumoError(f"this machine is {here}, and the hosts are {ARCHITECTURE}", elsewhere, Exit.PREFLIGHT)


def debs(directory: Path, wanted: Sequence[str]) -> None:
    """Make an apt repository of packages and all their dependencies, also those that are installed on this machine."""
    directory.mkdir(parents=True)
    with _apt() as options:
        _run(("apt-get", "-q", *options, "update"))
        named = _run(("apt-get", "-q", *options, "--simulate", "--no-install-recommends", "install", *wanted))
        exact = [f"{name}={version}" for name, version in _INSTALLED.findall(named)]
        _run(("apt-get", "-q", *options, "download", *exact), directory)
    index = _run(("dpkg-scanpackages", "--multiversion", "."), directory)
    (directory / "Packages").write_text(index)


@contextmanager
def _apt() -> Iterator[tuple[str, ...]]:
    """apt options: the sources and keys of this machine, but an empty package state; apt then needs no root."""
    with tempfile.TemporaryDirectory() as own:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            Path(own, folder).mkdir(parents=True)
        status = Path(own, "status")
        status.touch()
        settings = {
            "Dir::State": f"{own}/state",
            "Dir::State::status": str(status),
            "Dir::Cache": f"{own}/cache",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "",
        }
        yield tuple(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))


def wheels(directory: Path) -> None:
    """Download the wheels in the lock files of the API and the web page, and verify their hashes."""
    directory.mkdir(parents=True)
    for kind in ("api", "ui"):
        lock = package("webapp") / kind / "requirements.txt"
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
        exact = ("--require-hashes", "--only-binary=:all:", f"--python-version={PYTHON}")
        _run((*pip, *exact, "--dest", str(directory), "--requirement", str(lock)))


def _run(argv: Sequence[str], cwd: Path | None = None) -> str:
    """Run a program and return its stdout. Raises PneumoError with its last lines if it fails."""
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise PneumoError(
            f"{argv[0]} did not end within {TIMEOUT_S:.0f} s", "check the network, then run the same command again"
        ) from error
    if done.returncode:
        last = "\n".join(f"{done.stdout}\n{done.stderr}".strip().splitlines()[-8:])
        raise PneumoError(
            f"{argv[0]} ended with {done.returncode}:\n{last}", "fix the cause, then run the same command again"
        )
    return done.stdout
