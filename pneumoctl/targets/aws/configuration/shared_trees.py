"""Large trees for many hosts go through the stack's bucket: uploaded once, read by each host, deleted at the end."""

import secrets as random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import PneumoError
from pneumoctl.files import NOT_COPIED, Tree, sha256
from pneumoctl.plan.steps import Copy, Step
from pneumoctl.ssh import archive
from pneumoctl.ssh.agent_client import SharedTree
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context
from pneumoctl.terminal.console import console

LEAST = 100_000_000  # bytes of all copies of a tree together; fewer go over SSH, through the bastion
URL_S = 3600
PREFIX = "transfers/"  # terraform/storage.tf deletes what a killed command leaves there


class SharedTrees:
    """The trees of one command."""

    def __init__(self, settings: Settings, stack: Stack) -> None:
        self._settings, self._stack = settings, stack
        self._prefix = f"{PREFIX}{random.token_hex(16)}/"
        self._copies: Counter[Tree] = Counter()
        self._shared: dict[Tree, SharedTree | None] = {}
        self._aws: Aws | None = None
        self._sharing = threading.Lock()

    def expect(self, todo: Mapping[str, Iterable[Step]]) -> None:
        """Count the hosts that get each tree."""
        steps = (step for steps in todo.values() for step in steps)
        self._copies.update(action.tree for step in steps for action in step.actions if isinstance(action, Copy))

    def share(self, tree: Tree) -> SharedTree | None:
        """Where hosts can read a tree; None if it is sent to each. The first call uploads it, the others wait."""
        with self._sharing:
            if tree not in self._shared:
                self._shared[tree] = self._upload(tree) if self._is_large(tree) else None
            return self._shared[tree]

    def _is_large(self, tree: Tree) -> bool:
        hosts = self._copies[tree]
        return hosts > 1 and hosts * sum(file.lstat().st_size for file in Path(tree.source).rglob("*")) >= LEAST

    def _upload(self, tree: Tree) -> SharedTree | None:
        cloud = self._stack.cloud()
        if cloud is None:
            return None
        key = f"{self._prefix}{tree.digest}.tar.gz"
        try:
            aws, _ = context.login(self._settings, self._stack)
            self._aws = aws
            with tempfile.NamedTemporaryFile() as packed:
                archive.pack(tree.source, NOT_COPIED, packed.file)
                packed.flush()
                size = packed.tell()
                s3.put(aws, cloud.bucket, [s3.Upload(key, Path(packed.name), sha256(Path(packed.name)), size)])
            return SharedTree(aws.url(cloud.bucket, key, URL_S), size)
        except (PneumoError, OSError, s3.Changed) as error:  # OSError: no room for the packed tree
            reason = f"{error} changed" if isinstance(error, s3.Changed) else str(error)
            console.warn(f"{tree.source} goes to each host over SSH, not through the bucket: {reason}")
            return None

    def delete(self) -> None:
        """Delete what was uploaded."""
        cloud = self._stack.cloud()
        if self._aws and cloud:
            with suppress(PneumoError):  # the bucket's own rule deletes it a day later
                s3.empty(self._aws, cloud.bucket, prefix=self._prefix)


@contextmanager
def opened(settings: Settings, stack: Stack) -> Iterator[SharedTrees]:
    """The trees of a command, deleted at its end."""
    trees = SharedTrees(settings, stack)
    try:
        yield trees
    finally:
        trees.delete()
