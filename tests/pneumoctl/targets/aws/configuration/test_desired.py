"""The certificate of the front door: to look makes none, and the proof expects the installed one; the hosts' links."""

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan.transport import Output
from pneumoctl.results import final_export
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.ssh.hosts import Hosts
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import certificate as tls
from pneumoctl.targets.aws.configuration import desired
from tests.pneumoctl.examples import CURRENT_LINKS, DESIRED, SECRETS

HOSTS, SETTINGS = DESIRED.inventory, Settings(target="aws")


def fingerprint(stack: Stack) -> str:
    """That of the certificate that the proof and `status` expect."""
    return desired.front_door(stack, SETTINGS, HOSTS).fingerprint


def test_to_look_at_a_stack_makes_no_certificate(tmp_path: Path) -> None:
    stack = Stack("t", tmp_path)
    assert desired.certified(stack, SETTINGS, HOSTS)[0].startswith(b"-----BEGIN")
    with pytest.raises(PneumoError, match="not configured yet"):
        fingerprint(stack)
    assert list(tmp_path.iterdir()) == []


def test_a_renewed_certificate_is_expected_once_it_is_installed(tmp_path: Path) -> None:
    """A deploy in the last month of a certificate installs none: its proof must still expect the old one."""
    stack, folder = Stack("t", tmp_path), tmp_path / "tls"
    due = datetime.now(UTC) - timedelta(days=tls.DAYS - 3)
    old = tls.make((HOSTS.bastion.public_address,), due, "t")
    tls.save(folder, *old)
    stack.write("secrets.json", asdict(SECRETS))

    certificate, key = desired.certified(stack, SETTINGS, HOSTS)
    assert certificate != old[0] and fingerprint(stack) == tls.fingerprint(old[0])
    wanted = replace(DESIRED, certificate=certificate.decode(), key=key.decode())
    desired.save_certificate(stack, wanted, releases.plan(wanted, "web").steps)
    assert fingerprint(stack) == tls.fingerprint(old[0])
    desired.save_certificate(stack, wanted, configure.plan(wanted).steps)
    assert fingerprint(stack) == tls.fingerprint(certificate)
    assert desired.certified(stack, SETTINGS, HOSTS) == (certificate, key)


def test_a_certificate_of_the_user_is_never_copied(tmp_path: Path) -> None:
    wanted = replace(DESIRED, settings=replace(SETTINGS, certificate="c.pem", certificate_key="k.pem"))
    desired.save_certificate(Stack("t", tmp_path), wanted, configure.plan(wanted).steps)
    assert list(tmp_path.iterdir()) == []


class LinkAgents(Agents):
    """The agents of hosts whose releases lie in this folder of this machine, and whose PATH is this."""

    def __init__(self, root: Path, path: str) -> None:
        self.root, self.path = root, path

    def run(self, host: Host, argv: Sequence[str], timeout: float = 20.0) -> Output:
        words = [str(self.root) if word == ROOT else word for word in argv]
        done = subprocess.run(
            [f"/bin/{words[0]}", *words[1:]], env={"PATH": self.path}, capture_output=True, text=True, check=False
        )
        return Output(done.returncode, done.stdout, done.stderr)


def links(root: Path, path: str = "/usr/bin:/bin") -> dict[str, dict[str, str]]:
    return desired.current_links(Hosts(HOSTS, LinkAgents(root, path), {}))


def test_the_links_of_a_host_are_read(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "current").symlink_to("releases/r1")
    assert links(tmp_path)["app-0"] == {"api/current": "releases/r1"}
    assert links(tmp_path / "missing")["app-0"] == {}


def test_links_that_cannot_be_read_are_not_missing(tmp_path: Path) -> None:
    """A host would count as new: switched first, with all others like it, and to the model of this pneumoctl."""
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "current").symlink_to("releases/r1")
    with pytest.raises(Unreachable, match=r"reading its releases: .*not found"):
        links(tmp_path, path="/nowhere")


def test_a_host_that_is_too_slow_to_list_its_links_is_not_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LinkAgents, "run", lambda *_: Output(124, "", "sh: did not end within 20 s"))
    with pytest.raises(Unreachable, match="did not end within 20 s"):
        links(Path("/"))


def test_a_teardown_that_was_not_completed_may_have_deleted_the_backups(tmp_path: Path) -> None:
    stack = Stack("t", tmp_path)
    stack.write("secrets.json", asdict(SECRETS))
    stack.save_hosts(HOSTS)
    choice = desired.ReleaseChoice(desired.available_releases(SETTINGS), CURRENT_LINKS, update=())
    assert not desired.desired_state(stack, SETTINGS, HOSTS, choice).backup_again
    final_export.save(stack, None)
    assert desired.desired_state(stack, SETTINGS, HOSTS, choice).backup_again


class FileAgents(Agents):
    """The agents of hosts that have these folders of this machine instead of their root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, host: Host, argv: Sequence[str], timeout: float = 20.0) -> Output:
        words = [f"{self.root}/{host.name}{word}" if word.startswith("/") else word for word in argv]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return Output(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("files", "shared"),
    [
        ({}, False),
        ({"nginx/etc/nginx/nginx.conf": "  auth_basic_user_file /etc/pneumoctl/htpasswd;\n"}, True),
        ({"nginx/etc/nginx/nginx.conf": "# no login\n", "web-1/etc/pneumoctl/ui.env": "AUTH=users\n"}, False),
        ({"web-0/etc/pneumoctl/ui.env": "AUTH=users\n", "web-1/etc/pneumoctl/ui.env": "API_TOKEN=a\n"}, True),
        ({"web-1/etc/pneumoctl/ui.env": "AUTH=none\n"}, True),
    ],
    ids=["new", "nginx asks", "users", "one page is old", "a page is open"],
)
def test_the_shared_login_of_an_earlier_release_is_seen(tmp_path: Path, files: dict[str, str], shared: bool) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert desired.shares_login(FileAgents(tmp_path), HOSTS, HOSTS) is shared
