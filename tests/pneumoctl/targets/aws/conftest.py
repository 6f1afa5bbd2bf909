"""A configured stack on aws whose store, uploads and backups answer as a test says."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pneumoctl.results import transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.ssh import remote_command
from pneumoctl.stack import inventory
from pneumoctl.stack.stack import Cloud, Stack
from pneumoctl.targets.aws.store import backups, results, stack_secrets
from tests.pneumoctl.examples import HOSTS_OUTPUT, aws_context
from tests.pneumoctl.targets.aws.store.configured_store import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A stack whose app-0 was configured."""
    stack = Stack("t", tmp_path / "t")
    made = World(replace(aws_context(None), stack=stack))
    made.context = replace(made.context, aws=SimpleNamespace(instances=lambda _: made.instances))
    monkeypatch.setattr(stack_secrets, "read_back", lambda *_, **__: None)
    stack.save_cloud(Cloud("eu-west-1", "", "1", "b"))
    stack.save_hosts(inventory.from_outputs(HOSTS_OUTPUT, "198.51.100.1"))
    monkeypatch.setattr(results, "opened", made.opened)
    monkeypatch.setattr(transfer, "count", made.count)
    monkeypatch.setattr(transfer, "require_space", lambda *_: None)
    monkeypatch.setattr(transfer, "export", made.export)
    monkeypatch.setattr(remote_command, "run", made.tell)
    monkeypatch.setattr(backups, "make", lambda _: made.told.append(("app-0", "back up")))
    monkeypatch.setattr(backups, "fetch", made.fetch)
    monkeypatch.setattr(transfer, "exported", lambda stack, held: _fresh(stack, held))
    return made


def _fresh(stack: Stack, held: Summary) -> Summary | None:
    saved = transfer.last_export(stack)
    return Summary(saved["counts"], held.contents) if saved and saved["contents"] == held.contents else None
