"""What will be done, as data: actions, steps and plans, and their description for a person."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from pneumoctl.files import NOT_COPIED, Tree


@dataclass(frozen=True)
class Run:
    """Run a command on the host.

    `title` is shown to a person instead of a long command; the log has the command.
    """

    argv: tuple[str, ...]
    timeout: float = 120.0
    title: str = ""


@dataclass(frozen=True)
class Put:
    """Write a file on the host, atomically; the contents of a secret file are never shown."""

    content: str
    path: str
    mode: int = 0o600
    secret: bool = False
    group: str = ""  # the file's group on a host, where it matters; its owner is who writes it
    stamp: bool = False  # our own mark that a step was done, no file that anybody configured

    @property
    def sha256(self) -> str:
        """Digest of the wished contents."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class Copy:
    """Copy a tree from here to the host; it appears there whole or not at all."""

    tree: Tree
    path: str


@dataclass(frozen=True)
class Link:
    """Point a symbolic link at a target, atomically."""

    path: str
    target: str


@dataclass(frozen=True)
class Fetch:
    """Copy a tree from the host to here; it appears here whole or not at all."""

    source: str
    path: str


@dataclass(frozen=True)
class Service:
    """Start, stop or restart a service through the host's service manager."""

    name: str
    verb: Literal["start", "stop", "restart", "reload"]


Action = Run | Put | Copy | Link | Fetch | Service


@dataclass(frozen=True)
class Step:
    """Actions on hosts. `unless`: read-only probes; if all succeed there is nothing to do.

    A `check` changes nothing on the hosts, is always run, and does not count as a change.
    These matter on hosts over SSH alone: `valid` judges the files beside the live ones before any is swapped
    ("{staged}" in a word is the folder that they lie below), `good` the outcome; where one of them fails, files and
    links are put back and services restarted. `after` names the steps, on whatever host, that must be done before,
    `behind` those that must have ended, well or not; without either a step waits for its own host's earlier ones alone.
    The failure of a `gate` is that of a health gate. A step for the `sake` of others is done when one of them is,
    or where a probe of its own says that one of them was left half done.
    """

    title: str
    hosts: tuple[str, ...]
    actions: tuple[Action, ...]
    unless: tuple[Run, ...] = ()
    check: bool = False
    valid: tuple[Run, ...] = ()
    good: tuple[Run, ...] = ()
    after: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    gate: bool = False
    sake: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps in order."""

    title: str
    steps: tuple[Step, ...] = field(default=())


def digest(step: Step) -> str:
    """sha256 over everything the step would do, secrets included."""
    return hashlib.sha256(repr(step.actions).encode()).hexdigest()


def stamped(step: Step, path: str) -> Step:
    """The step, leaving its digest at `path` as its last act, and probing for it.

    A half-done step leaves no stamp and is done again; a changed wish has another digest.
    """
    wished = digest(step)
    probe = Run(("grep", "-qx", wished, path))
    return replace(step, actions=(*step.actions, Put(wished + "\n", path, stamp=True)), unless=(*step.unless, probe))


def holds(put: Put) -> Run:
    """A probe that succeeds when the file on the host has the wished contents, and rights where a group is wished."""
    script, wished = 'test "$(sha256sum <"$1")" = "$2  -"', (put.path, put.sha256)
    if not put.group:
        return Run(("sh", "-c", script, "sh", *wished))
    script += ' && test "$(stat -c "%a %G" "$1")" = "$3"'
    return Run(("sh", "-c", script, "sh", *wished, f"{put.mode:o} {put.group}"))


def matches(copy: Copy) -> Run:
    """A probe that succeeds when the tree on the host has the wished contents, to the byte."""
    skipped = " ".join(f"! -path '*/{name}/*'" for name in NOT_COPIED)
    listing = f"find . -type f {skipped} -print0 | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum"
    script = f'cd "$1" && test "$({listing})" = "$2  -"'
    return Run(("sh", "-c", script, "sh", copy.path, copy.tree.digest))


def describe(plan: Plan, pending: Callable[[Step], bool] = lambda _: True) -> list[str]:
    """Lines for a person: each pending step and its actions. No secret is in them."""
    lines = [plan.title]
    for step in plan.steps:
        if step.check or not pending(step):
            continue
        where = "" if step.hosts == ("operator",) else f" on {', '.join(step.hosts)}"
        lines.append(f"  + {step.title}{where}")
        shown = (action for action in step.actions if not (isinstance(action, Put) and action.stamp))
        lines += [f"      {describe_action(action)}" for action in shown]
    return lines


def describe_action(action: Action) -> str:
    """One line for a person."""
    match action:
        case Run(argv, title=title):
            return "run      " + (title or " ".join(argv))
        case Put(_, path, mode, secret):
            return f"write    {path} ({mode:o}{', secret' if secret else ''})"
        case Copy(tree, path):
            return f"copy     {tree.source} -> {path}"
        case Link(path, target):
            return f"link     {path} -> {target}"
        case Fetch(source, path):
            return f"fetch    {source} -> {path}"
        case Service(name, verb):
            return f"{verb:8} {name}"
