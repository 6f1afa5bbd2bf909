"""Bundles for hosts without internet: refused bundles, and the steps on the hosts."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import Tree
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import Offline
from pneumoctl.plan.steps import Copy, Put, Run, Step, describe_action
from pneumoctl.stack.settings import Settings
from pneumoctl.targets.aws.configuration import desired, offline_bundle
from tests.pneumoctl.examples import DESIRED

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux {0}"\nID=debian\nVERSION_ID="{0}"\n'
BUNDLE = Offline(Tree("/from/debs", "d" * 64), Tree("/from/wheels", "e" * 64))
DEBS, WHEELS = "/srv/pneumoctl/offline/debs-dddddddddddd", "/srv/pneumoctl/offline/wheels-eeeeeeeeeeee"
LIST = "/srv/pneumoctl/offline/sources.list"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose packages are empty files."""
    for folder in ("debs", "wheels"):
        (tmp_path / folder).mkdir()
    entries = []
    for name in configure.every_package():
        (tmp_path / "debs" / f"{name}_1_all.deb").touch()
        entries.append(f"Package: {name}\nVersion: 1\nFilename: ./{name}_1_all.deb\n")
    (tmp_path / "debs" / "Packages").write_text("\n".join(entries))
    (tmp_path / "wheels" / "one-1-py3-none-any.whl").touch()
    return tmp_path


def test_a_complete_bundle_is_copied(bundle: Path) -> None:
    brought = desired.available_releases(Settings(offline_bundle=str(bundle))).offline

    assert brought == offline_bundle.read(bundle)
    assert brought is not None and brought.debs.source == str(bundle / "debs")
    assert desired.available_releases(Settings()).offline is None


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("debs/Packages", "is not an offline bundle"),
        ("wheels", "is not an offline bundle"),
        ("debs/nginx_1_all.deb", r"lacks debs/\./nginx_1_all\.deb, which its index names"),
    ],
)
def test_a_bundle_that_is_not_whole_is_refused(bundle: Path, missing: str, message: str) -> None:
    (bundle / missing).rename(bundle / "elsewhere")

    with pytest.raises(PneumoError, match=message) as error:
        offline_bundle.read(bundle)
    assert error.value.code == Exit.USAGE and "offline-bundle" in error.value.hint


def test_a_bundle_without_a_package_that_hosts_want_is_refused(bundle: Path) -> None:
    index = bundle / "debs" / "Packages"
    index.write_text(index.read_text().replace("Package: redis-server\n", "Package: other\n"))

    with pytest.raises(PneumoError, match="lacks redis-server"):
        offline_bundle.read(bundle)


@pytest.mark.parametrize("text", ["", DEBIAN.format(11), 'PRETTY_NAME="Another 12"\nID=another\nVERSION_ID="12"\n'])
def test_a_bundle_is_made_on_the_hosts_own_debian_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "os-release").write_text(text)

    with pytest.raises(PneumoError, match="the hosts are Debian 12") as error:
        offline_bundle.check(tmp_path / "os-release")
    assert error.value.code == Exit.PREFLIGHT and "debian:12" in error.value.hint


def test_a_missing_program_is_named_by_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "os-release").write_text(DEBIAN.format(12))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PneumoError) as error:
        offline_bundle.check(tmp_path / "os-release")
    assert error.value.hint == "apt-get install apt dpkg dpkg-dev"


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_bundle, "check", lambda _: None)
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(PneumoError, match="contains other files"):
        offline_bundle.make(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_download_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(directory: Path, wanted: object) -> None:
        directory.mkdir(parents=True)
        (directory / "half.deb").touch()
        offline_bundle._run(("sh", "-c", "echo no route >&2; exit 100"))

    monkeypatch.setattr(offline_bundle, "check", lambda _: None)
    monkeypatch.setattr(offline_bundle, "debs", no_network)

    with pytest.raises(PneumoError, match=r"sh ended with 100:\nno route"):
        offline_bundle.make(tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def steps(host: str, brought: Offline | None = BUNDLE) -> list[Step]:
    plan = configure.plan(replace(DESIRED, offline=brought))
    return [step for step in plan.steps if step.hosts == (host,)]


@pytest.mark.parametrize(("host", "kinds"), [("nginx", [DEBS]), ("web-0", [DEBS, WHEELS]), ("app-0", [DEBS, WHEELS])])
def test_packages_are_copied_before_they_are_installed(host: str, kinds: list[str]) -> None:
    titles = [step.title for step in steps(host)]
    copies = [copy.path for step in steps(host) for copy in step.actions if isinstance(copy, Copy)]

    assert titles[:2] == [f"Copy the offline bundle (debs) to {host}", f"Install the packages of {host}"]
    assert [path for path in copies if "offline" in path] == kinds
    (put,) = (action for action in steps(host)[0].actions if isinstance(action, Put))
    assert (put.path, put.content) == (LIST, f"deb [trusted=yes] file:{DEBS} ./\n")
    assert "offline" not in " ".join(step.title for step in steps(host, None))


def test_a_deploy_alone_brings_the_wheels_that_it_needs() -> None:
    titles = [step.title for step in releases.plan(replace(DESIRED, offline=BUNDLE), "web").steps]

    wheels = titles.index("Copy the offline bundle (wheels) to web-0")
    assert titles[wheels + 1].startswith("Install the Python packages")


def test_only_the_files_of_an_earlier_bundle_are_removed(tmp_path: Path) -> None:
    for name in ("debs-1", "debs-2", "wheels-1", "sources.list"):
        (tmp_path / name).mkdir()
    drop = steps("app-0")[0].actions[-1]
    assert isinstance(drop, Run)
    subprocess.run([*drop.argv[:4], f"{tmp_path}/debs-*", f"{tmp_path}/debs-2"], check=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["debs-2", "sources.list", "wheels-1"]


def test_apt_knows_the_bundle_alone() -> None:
    install = next(step for step in steps("app-0") if step.title.startswith("Install the packages"))

    for action in install.actions:
        assert isinstance(action, Run)
        assert f"Dir::Etc::sourcelist={LIST}" in action.argv and "Dir::Etc::sourceparts=-" in action.argv
    online = next(step for step in steps("app-0", None) if step.title.startswith("Install the packages"))
    assert "Dir::Etc" not in str(online) and online.done_if == install.done_if


def test_pip_knows_the_bundle_alone_and_checks_every_hash() -> None:
    install = next(step for step in steps("web-0") if step.title.startswith("Install the Python packages"))
    run = install.actions[0]

    assert isinstance(run, Run)
    assert run.argv[-3:] == ("--no-index", "--find-links", WHEELS)
    assert "--require-hashes" in describe_action(run)
    assert "--no-index" not in str(steps("web-0", None))
