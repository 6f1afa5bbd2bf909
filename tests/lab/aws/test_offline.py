"""Hosts without internet access: they install everything from a bundle that is made here and copied over SSH."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.stack_operator import Operator

SOURCES = ("/etc/apt/sources.list", "/etc/pip.conf")
LONELY = f"""set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -y purge --autoremove prometheus-node-exporter curl python3-venv >/dev/null
rm -rf /srv/pneumoctl/venvs /var/lib/apt/lists/*
mkdir -p /root/kept
mv {" ".join(SOURCES)} /root/kept/
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle from this machine's package sources, which the lab's image also uses."""
    directory = tmp_path_factory.mktemp("offline") / "bundle"
    made = subprocess.run(
        [sys.executable, "-m", "pneumoctl", "offline-bundle", directory], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return directory


@pytest.fixture
def lonely(first_up: FirstUp, operator: Operator) -> Iterator[str]:
    """A web host with nothing installed and no access to packages."""
    operator.lab.fault.run_on_host("web-0", ["sh", "-c", LONELY])
    try:
        yield "web-0"
    finally:
        for path in SOURCES:
            operator.lab.fault.run_on_host("web-0", ["sh", "-c", f"mv /root/kept/{Path(path).name} {path}"])


def test_a_host_without_internet_is_configured_from_the_bundle(lonely: str, operator: Operator, bundle: Path) -> None:
    alone = operator.run("configure", lonely, "-y", code=6).stderr
    assert f"{lonely}: “Install the packages of {lonely}” failed: apt-get" in alone
    given = ("-y", "--offline-bundle", str(bundle))
    configured = operator.json("configure", lonely, *given)["changed"]
    deployed = operator.json("deploy", "web", *given)["changed"]

    assert f"{lonely}: Copy the offline bundle (debs) to {lonely}" in configured
    assert f"{lonely}: Install the packages of {lonely}" in configured
    assert deployed[0] == f"{lonely}: Copy the offline bundle (wheels) to {lonely}"
    assert deployed[1].startswith(f"{lonely}: Install the Python packages of release")
    assert operator.json("configure", lonely, *given)["changed"] == []
