"""Actions, probes, steps and plans as data, and their description for a person."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from pneumoctl.files import NOT_COPIED, Tree


@dataclass(frozen=True)
class Run:
    """Run a command on the host. `title` is shown instead of a long command; the log has the command."""

    argv: tuple[str, ...]
    timeout: float = 120.0
    title: str = ""


@dataclass(frozen=True)
class Put:
    """Write a file on the host atomically; the contents of a secret file are never shown."""

    content: str
    path: str
    mode: int = 0o600
    secret: bool = False
    group: str = ""  # the file's group on a host, where it matters; its owner is the user that writes it
    stamp: bool = False  # pneumoctl's own record that a step was done, not a configuration file

    @property
    def sha256(self) -> str:
        """The digest of the desired contents."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class Copy:
    """Copy a tree from this machine to the host; it appears there completely or not at all."""

    tree: Tree
    path: str


@dataclass(frozen=True)
class Link:
    """Point a symbolic link at a target atomically."""

    path: str
    target: str


@dataclass(frozen=True)
class Fetch:
    """Copy a tree from the host to this machine; it appears here completely or not at all."""

    source: str
    path: str


@dataclass(frozen=True)
class Service:
    """Start, stop or restart a service through the host's service manager."""

    name: str
    verb: Literal["start", "stop", "restart", "reload"]


Action = Run | Put | Copy | Link | Fetch | Service


@dataclass(frozen=True)
class Unit:
    """A state that a systemd unit should be in."""

    name: str
    state: Literal["running", "enabled"]


@dataclass(frozen=True)
class Packages:
    """Debian packages that should be installed."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """A command that changes nothing and succeeds if the host is as desired. `subject`: what it checks."""

    argv: tuple[str, ...]
    timeout: float = 120.0
    title: str = ""
    subject: Put | Unit | Packages | None = field(default=None, repr=False)  # a Put may hold a secret


@dataclass(frozen=True)
class Step:
    """Actions that bring hosts to a desired state. A step waits for the steps before it on its own host."""

    title: str
    hosts: tuple[str, ...]
    actions: tuple[Action, ...]
    done_if: tuple[Probe, ...] = ()  # if all of them succeed, there is nothing to do
    check: bool = False  # the actions change nothing: they always run, and do not count as a change
    # Only on hosts over SSH. If one of these fails, files and links are restored and services restarted.
    validate: tuple[Probe, ...] = ()  # run on the new files in a temporary folder ("{staged}"), before any is replaced
    verify: tuple[Probe, ...] = ()  # run on the result
    # Only on hosts over SSH: ids of other steps.
    after: tuple[str, ...] = ()  # wait for these on all hosts; they must succeed
    after_any_outcome: tuple[str, ...] = ()  # wait for these on all hosts; they may fail
    needed_by: tuple[str, ...] = ()  # run only if one of these has work, or if an interrupted run left this one undone
    gate: bool = False  # a failure is reported as a failed health gate
    id: str = ""  # identifies the step in its plan; its title by default
    salt: str = ""  # anything else on which the digest of a stamped step depends

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.id or self.title)


@dataclass(frozen=True)
class Plan:
    """Steps in order."""

    title: str
    steps: tuple[Step, ...] = field(default=())


def digest(step: Step) -> str:
    """sha256 of everything the step would do, secrets included, and of its salt."""
    return hashlib.sha256((repr(step.actions) + step.salt).encode()).hexdigest()


def stamped(step: Step, path: str) -> Step:
    """The step with a last action that writes its digest to `path`, and a probe for that digest.

    An interrupted step leaves no digest and is done again; so is a step whose digest has changed.
    """
    expected = digest(step)
    probe = Probe(("grep", "-qx", expected, path))
    return replace(
        step, actions=(*step.actions, Put(expected + "\n", path, stamp=True)), done_if=(*step.done_if, probe)
    )


def file_matches(put: Put) -> Probe:
    """Succeeds if the file on the host has the desired contents, and the desired mode and group if it has a group."""
    script = 'test "$(sha256sum <"$1")" = "$2  -"'
    words: tuple[str, ...] = (put.path, put.sha256)
    if put.group:
        script += ' && test "$(stat -c "%a %G" "$1")" = "$3"'
        words = (*words, f"{put.mode:o} {put.group}")
    return Probe(("sh", "-c", script, "sh", *words), subject=put)


def tree_matches(copy: Copy) -> Probe:
    """Succeeds if the tree on the host has the digest that files.tree_digest computes here."""
    skipped = " ".join(f"! -path '*/{name}/*'" for name in NOT_COPIED)
    listing = f"find . -type f {skipped} -print0 | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum"
    script = f'cd "$1" && test "$({listing})" = "$2  -"'
    return Probe(("sh", "-c", script, "sh", copy.path, copy.tree.digest))


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
