"""Hosts without internet access: they install everything from a bundle that is made here and copied over SSH."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.stack_operator import Operator

SOURCES = ("/etc/apt/sources.list", "/etc/pip.conf")
REMOVE_PACKAGES_AND_SOURCES = f"""set -e
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
    result = subprocess.run(
        [sys.executable, "-m", "pneumoctl", "offline-bundle", directory], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return directory


@pytest.fixture
def offline_host(first_up: FirstUp, operator: Operator) -> Iterator[str]:
    """A web host with nothing installed and no access to packages."""
    operator.lab.fault.run_on_host("web-0", ["sh", "-c", REMOVE_PACKAGES_AND_SOURCES])
    try:
        yield "web-0"
    finally:
        for path in SOURCES:
            operator.lab.fault.run_on_host("web-0", ["sh", "-c", f"mv /root/kept/{Path(path).name} {path}"])


def test_a_host_without_internet_is_configured_from_the_bundle(
    offline_host: str, operator: Operator, bundle: Path
) -> None:
    failure = operator.run("configure", offline_host, "-y", code=6).stderr
    assert f"{offline_host}: “Install the packages of {offline_host}” failed: apt-get" in failure
    bundle_options = ("-y", "--offline-bundle", str(bundle))
    configured = operator.json("configure", offline_host, *bundle_options)["changed"]
    deployed = operator.json("deploy", "web", *bundle_options)["changed"]

    assert f"{offline_host}: Copy the offline bundle (debs) to {offline_host}" in configured
    assert f"{offline_host}: Install the packages of {offline_host}" in configured
    assert deployed[0] == f"{offline_host}: Copy the offline bundle (wheels) to {offline_host}"
    assert deployed[1].startswith(f"{offline_host}: Install the Python packages of release")
    assert operator.json("configure", offline_host, *bundle_options)["changed"] == []
