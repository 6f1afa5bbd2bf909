"""The options that every command has, and the settings and the stack that a command is called with."""

import functools
import importlib
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Concatenate, NamedTuple, ParamSpec

import typer

from pneumoctl.cli.options import Batch, Config, Json, NoColor, OfflineBundle, Quiet, Region, StackName, Target
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import ownership, settings, tagged
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack, find, resolve

P = ParamSpec("P")
Body = Callable[Concatenate["Invocation", P], int]
# The console reads these from argv itself, so that they also apply to the message of a usage error.
_OUTPUT = {"json": (Json, False), "quiet": (Quiet, False), "no_color": (NoColor, False)}
_STACK = {"stack": (StackName, None), "config": (Config, None)}
# For a command that covers every stack: accepted, because hints and scripts may give it, and not shown.
_ANY_STACK = {"stack": (Annotated[str | None, typer.Option("--stack", hidden=True)], None)}
_SETTINGS = {
    "target": (Target, None),
    "offline_bundle": (OfflineBundle, None),
    "region": (Region, None),
    "batch": (Batch, None),
}
_MAKE_OR_REMOVE = ("up", "teardown")  # these say themselves how to go on


class Invocation(NamedTuple):
    """The settings and the stack of a command."""

    settings: Settings
    stack: Stack


class TaggedInvocation(Invocation):
    """An Invocation for what AWS tells by tags: nothing that this machine has under the stack's name prevents it."""

    __slots__ = ()


def output_options(function: Callable[P, int]) -> Callable[..., int]:
    """Decorator for a command without a stack: adds --json, --quiet and --no-color."""

    @functools.wraps(function)
    def command(**values: Any) -> int:
        return function(**{name: value for name, value in values.items() if name not in _OUTPUT})  # type: ignore[call-arg]

    return _with_options(command, function, 0, _OUTPUT)


def on_stack(
    *flags: str, every: bool = False, alarm: bool = True, gpu: bool = False
) -> Callable[[Body[P]], Callable[..., int]]:
    """Decorator for a command on a stack: adds --stack, --config and the output options, passes the Invocation first.

    `flags`: settings that are options of this command, too (target, offline_bundle, region, batch). With --region, or
    if the command is about `every` stack, it gets a TaggedInvocation. `alarm`: whether to show GPU hosts without a
    lease; False for a command that does so itself, once it has logged in to AWS. `gpu`: for a command that shows or
    stops the GPU host: exit code 7 if the stack's files do not say where it is, because its GPU may be on.
    """

    def decorate(function: Body[P]) -> Callable[..., int]:
        options = {**{name: _SETTINGS[name] for name in flags}, **_STACK, **_OUTPUT, **(_ANY_STACK if every else {})}

        @functools.wraps(function)
        def command(**values: Any) -> int:
            own = {name: value for name, value in values.items() if name not in options}
            named = {name: _plain(values[name]) for name in ("stack", *flags)}
            with _region_named(flags):
                called = invocation(named, values["config"], every or bool(named.get("region")), gpu)
            if "target" in flags:  # a command for stacks on aws alone refuses a stack on this machine itself
                _refuse_offline_bundle(called, named)
            if alarm:
                _start_alarm(called)
            if function.__name__ in _MAKE_OR_REMOVE:
                return function(called, **own)  # type: ignore[call-arg]
            with teardown_named(called):
                return function(called, **own)  # type: ignore[call-arg]

        return _with_options(command, function, 1, options)

    return decorate


def invocation(flags: dict[str, Any], config: Path | None, by_tags: bool = False, gpu: bool = False) -> Invocation:
    """The settings from flags, environment and file, completed by those that the stack has saved, and the stack.

    `by_tags`: whether the command asks AWS by tags alone. `gpu`: see on_stack.
    """
    loaded = settings.load(flags, config, os.environ)
    if by_tags:
        return TaggedInvocation(*tagged.resolve(loaded))
    if gpu:
        importlib.import_module("pneumoctl.targets.aws.tagged").require_location(loaded, find(loaded.stack))
    called = Invocation(*resolve(loaded))
    ownership.close_to_others(called.stack.directory)
    return called


@contextmanager
def _region_named(flags: tuple[str, ...]) -> Iterator[None]:
    """Have the error about settings with another region than the stack's name --region, if the command has it."""
    try:
        yield
    except PneumoError as error:
        if "region" in flags and error.details.get("setting") == "region":
            again = f"the same command with --region {error.details['saved']}"
            error.hint = f"use another --stack; or, to use this one: {again}"
        raise


@contextmanager
def teardown_named(called: Invocation) -> Iterator[None]:
    """Have an error that advises `up` name the teardown of a stack on aws, if one works or was not completed."""
    try:
        yield
    except PneumoError as error:
        if called.settings.target == "aws":
            importlib.import_module("pneumoctl.targets.aws.inspection.advice").name_teardown(called.stack, error)
        raise


def _refuse_offline_bundle(called: Invocation, flags: dict[str, Any]) -> None:
    if flags.get("offline_bundle") and called.settings.target == "local":
        message = f"--offline-bundle is for stacks on aws: {called.stack.name} runs on this machine (target local)"
        new = "" if called.stack.target else ", or: pneumoctl up --target aws --offline-bundle DIRECTORY"
        raise PneumoError(message, f"pneumoctl up{new}", Exit.USAGE)


def _start_alarm(called: Invocation) -> None:
    """Show GPU hosts without a lease. Imported by name, so that a stack on this machine loads no module for AWS."""
    if called.settings.target == "aws":
        importlib.import_module("pneumoctl.gpu.orphans").start_alarm_for(called.stack)


def _plain(value: Any) -> Any:
    """Make a path absolute, because later steps run in other directories; return other values unchanged."""
    return str(value.expanduser().resolve()) if isinstance(value, Path) else value


def _with_options(
    command: Callable[..., int], function: Callable[..., int], skip: int, options: dict[str, tuple[Any, Any]]
) -> Callable[..., int]:
    """Give `command` the signature of `function` without its first `skip` parameters, followed by `options`."""
    own = list(inspect.signature(function).parameters.values())[skip:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    parameters = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *added]
    command.__dict__.pop("__wrapped__", None)  # inspect would follow it to the signature of `function`
    command.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": int}
    return command
