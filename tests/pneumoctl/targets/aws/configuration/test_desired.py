"""The certificate of the front door: read-only commands make none, and the proof expects the one that is installed."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.hosts import configure, releases
from pneumoctl.results import transfer
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


def test_a_teardown_that_was_not_completed_may_have_deleted_the_backups(tmp_path: Path) -> None:
    stack = Stack("t", tmp_path)
    stack.write("secrets.json", asdict(SECRETS))
    stack.save_hosts(HOSTS)
    choice = desired.ReleaseChoice(desired.available_releases(SETTINGS), CURRENT_LINKS, update=())
    assert not desired.desired_state(stack, SETTINGS, HOSTS, choice).backup_again
    transfer.set_final(stack, None)
    assert desired.desired_state(stack, SETTINGS, HOSTS, choice).backup_again
