"""A stack on aws whose hosts accept an SSH key."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import ssh_key
from tests.pneumoctl.examples import aws_context
from tests.pneumoctl.targets.aws.provisioning.account_with_hosts import HOSTS, TRAIN, Ec2, Hosts, instance


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """The context of a stack of six hosts and a stopped training host. A restart has them accept the key."""
    made = replace(aws_context(Ec2([instance(host) for host in HOSTS.hosts])), stack=Stack("t", tmp_path / "t"))
    made.stack.make()
    made.stack.save_hosts(replace(HOSTS, hosts=(*HOSTS.hosts, TRAIN)))
    made.aws.there.append(instance(TRAIN, "stopped"))
    monkeypatch.setattr(ssh_key, "Connections", Hosts)
    monkeypatch.setattr(
        ssh_key.boot.first_boot,
        "wait",
        lambda hosts, *_: Hosts.refusing.difference_update({host.name for host in hosts}),
    )
    yield made
    Hosts.refusing = set()
