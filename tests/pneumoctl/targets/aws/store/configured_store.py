"""A configured stack whose store, uploads and backups answer as a test says."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pneumoctl.aws.ec2 import Instance
from pneumoctl.aws.terraform.plan_json import Change
from pneumoctl.errors import PneumoError
from pneumoctl.plan.transport import Output
from pneumoctl.results import transfer
from pneumoctl.results.transfer import Summary
from pneumoctl.ssh.connections import Unreachable
from pneumoctl.stack import inventory
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.store import new_store, store_loss

APP = Instance("i-3", "app-0", "app", "running", "t3.medium", datetime.now(UTC), "10.20.1.3", "")
OTHERS = [
    replace(APP, id=f"i-{number}", name=name, role=role)
    for number, name, role in ((2, "web-0", "web"), (4, "app-1", "app"))
]
HELD = Summary({"results": 3, "pictures": 2, "reviews": 1}, "digest")
HELD_INTACT = Summary({**HELD.counts, "damaged": 0}, HELD.contents)
UPLOADS = {"web-0", "app-0", "app-1"}
AWAY_HOST = inventory.Host("app-0", "app")
AWAY = Unreachable(AWAY_HOST, "SSH handshake", "it is silent")
EMPTY = Summary({"results": 0, "pictures": 0, "reviews": 0}, "empty")
REPLACED = (store_loss.ADDRESS,)
REPLACE = (Change(store_loss.ADDRESS, "aws_instance", "replace", {}, {}),)
CREATE = (replace(REPLACE[0], action="create"),)


@dataclass
class World:
    """A configured stack, and what its store answers."""

    context: Context
    instances: list[Instance] = field(default_factory=lambda: [APP, *OTHERS])
    held: list[Summary | PneumoError] = field(default_factory=lambda: [HELD])  # the last one stays
    told: list[tuple[str, str]] = field(default_factory=list)  # (host, verb of systemctl)
    backup: tuple[Path, Summary] | PneumoError | None = None
    failing: dict[tuple[str, str], BaseException | Output] = field(default_factory=dict)  # (host, verb) -> the failure

    def count(self, _: object) -> Summary:
        answer = self.held[0] if len(self.held) == 1 else self.held.pop(0)
        if isinstance(answer, PneumoError):
            raise answer
        return answer

    def export(self, stack: Stack, store: object, target: Path) -> Summary:
        held = self.count(store)
        target.mkdir(parents=True)
        stack.write(
            transfer.LAST, {"path": str(target), "contents": held.contents, "counts": {"damaged": 0, **held.counts}}
        )
        return replace(held, counts={"damaged": 0, **held.counts})

    def tell(self, _: object, host: inventory.Host, argv: tuple[str, ...], timeout: float) -> Output:
        self.told.append((host.name, "start" if "start" in argv else "stop"))
        failure = self.failing.get(self.told[-1], Output(0, "inactive\n\nfailed\n", ""))
        if isinstance(failure, BaseException):
            raise failure
        return failure

    def fetch(self, context: Context, folder: Path) -> tuple[Path, Summary] | None:
        if isinstance(self.backup, PneumoError):
            raise self.backup
        return self.backup

    @contextmanager
    def opened(self, stack: Stack) -> Iterator[Any]:
        yield SimpleNamespace(connections=SimpleNamespace(to=self.connect), machine=None, host="app-0")

    def connect(self, _: object) -> None:
        if isinstance(self.held[0], Unreachable):
            raise self.held[0]


def create(world: World, error: PneumoError | None = None) -> None:
    """Have `up` create app-0, or fail after that."""
    world.instances = []
    with suppress(PneumoError), new_store.recorded(world.context, CREATE):
        world.instances = [APP]
        if error:
            raise error


UNKEPT = replace(HELD_INTACT, unkept=("0123456789abcdef",))
KEY = "sealed with MAC key 0123456789abcdef, which is not on this machine"
