"""`pneumoctl train`: train on this machine, or on the GPU host, which is stopped after every outcome."""

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from model.data import dataset
from model.settings import SettingsError, bundle_name
from model.training.arguments import choose_settings, parser
from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import orphans
from pneumoctl.installation import install_command, missing
from pneumoctl.registry import store
from pneumoctl.stack import audit, ownership
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context
from pneumoctl.training import local, order
from pneumoctl.training.progress import parse_duration
from pneumoctl.training.request import SHORTEST_S, TrainingRequest

RUNTIME = "4h"
RETRIES = 3
_HINT = "pneumoctl train FOLDER; to download a data set: pneumoctl data fetch kermany"
OURS = ("--out", "--resume")  # flags of model.train that only pneumoctl may set


Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[DATA|RUN] [-- FLAGS]",
        help="Folder of the data set. Omit it with --gpu, which uses the latest of `pneumoctl data push`. RUN: with "
        "--gpu --resume, the run to continue (default: the newest). FLAGS: those of `python -m model.train --help`.",
        show_default=False,
    ),
]
MaxRuntime = Annotated[
    str | None,
    typer.Option(
        "--max-runtime",
        metavar="TIME",
        help="Stop the run after this time, such as 90m or 2h. Default: no limit; with --gpu "
        f"{RUNTIME}, in which the start of the host is included.",
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost",
        metavar="USD",
        help="With --gpu: stop the run before it costs more, at list prices, the start of the host included.",
    ),
]
Stall = Annotated[
    int, typer.Option("--stall", metavar="MINUTES", help="Stop the run after this many minutes without progress.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue a run from its checkpoint, or download the results if it has ended."),
]
Detach = Annotated[
    bool,
    typer.Option("--detach", help="With --gpu: return as soon as the training runs. The GPU is stopped when it ends."),
]
Spot = Annotated[
    bool,
    typer.Option("--spot", help="With --gpu: use a spot instance, which costs less and which AWS may take back."),
]
SpotRetries = Annotated[
    int | None,
    typer.Option(
        "--spot-retries",
        metavar="N",
        help=f"With --spot: continue on a new instance so many times (default: {RETRIES}).",
    ),
]
Fallback = Annotated[
    bool,
    typer.Option("--fallback", help="With --spot: continue on the GPU host itself if there is no spot instance."),
]


@on_stack(alarm=False)
def train(
    invocation: Invocation,
    words: Words = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Train on the GPU host of the stack; it is stopped afterwards (aws).")
    ] = False,
    max_runtime: MaxRuntime = None,
    max_cost: MaxCost = None,
    stall: Stall = 30,
    resume: Resume = False,
    detach: Detach = False,
    spot: Spot = False,
    spot_retries: SpotRetries = None,
    fallback: Fallback = False,
) -> int:
    """Train a model here, or with --gpu on the GPU host.

    With --gpu, a stop of the GPU is scheduled in AWS before it starts (--spot: as soon as the instance exists).
    Ctrl-C saves a checkpoint first; a second Ctrl-C stops at once.

    Exit codes: 7 the GPU is not confirmed stopped, or AWS does not answer; 8 the training failed; 9 a limit was
    reached. After 8 and 9 the GPU is off.
    """
    settings, stack = invocation
    request = _request(words or [], gpu, max_runtime, max_cost, stall, resume, detach)
    request = _on_spot(request, gpu, spot, spot_retries, fallback)
    if gpu:
        return _on_gpu(settings, stack, request)
    folder = Path(request.data_or_run).expanduser()
    if not folder.exists():
        raise PneumoError(f"there is no folder {request.data_or_run}", _HINT, Exit.USAGE)
    _require_packages()
    ownership.require_writable(stack.directory)
    _require_data_set(folder, "" if resume else request.arch)
    return local.train(stack, request.data_or_run, request.arguments, request.max_runtime_s, request.stall_s, resume)


def _require_data_set(folder: Path, arch: str) -> None:
    """Raise PneumoError (usage) for a folder that the training would refuse, as far as its list of pictures shows.

    `arch`: the network, if the bundle is to be named after it and the data set; else empty.
    """
    try:
        name = dataset.check(folder)
    except dataset.DataError as error:
        raise PneumoError(str(error), _HINT, Exit.USAGE) from error
    if arch:
        store.require_valid_name(bundle_name(arch, name), "pneumoctl train FOLDER -- --name NAME")


def _require_packages() -> None:
    """Raise PneumoError (exit 4) unless model.train can run on this machine."""
    if modules := missing("train"):
        message = f"training on this machine needs packages that are not installed: {', '.join(modules)}"
        raise PneumoError(message, install_command("train"), Exit.PREFLIGHT)


def _on_gpu(settings: Settings, stack: Stack, request: TrainingRequest) -> int:
    stack.require_aws("it has no GPU host", "pneumoctl train FOLDER")
    options: dict[str, Any] = {
        "gpu": True,
        "resume": request.resume,
        "detach": request.detach,
        "market": request.market,
    }
    options |= {"max_runtime_s": request.max_runtime_s, "max_cost": request.max_cost}
    with stack.gpu_locked("train --gpu"), audit.recorded(stack, "train", options) as act:
        with context.asking_for_gpu(settings, stack):
            aws, account = context.login(settings, stack)
        orphans.start_alarm(aws)
        act.arn = account.arn
        return order.train(aws, stack, request, act)


def _request(
    words: list[str],
    gpu: bool,
    max_runtime: str | None,
    max_cost: float | None,
    stall: int,
    resume: bool,
    detach: bool,
) -> TrainingRequest:
    first, arguments = (words[0], words[1:]) if words and not words[0].startswith("-") else ("", words)
    try:
        runtime = parse_duration(max_runtime or (RUNTIME if gpu else "8760h"))
    except (ValueError, OverflowError):
        raise PneumoError(
            f"--max-runtime {max_runtime} is not a duration", "for example 90m or 2h", Exit.USAGE
        ) from None
    rules = (
        (runtime >= SHORTEST_S, "--max-runtime: a minute at least"),
        (max_cost is None or 0 < max_cost < 1e6, "--max-cost: more than 0 USD"),
        (1 <= stall <= 24 * 60, "--stall: 1 to 1440 minutes"),
        (gpu or not detach, "--detach is for --gpu"),
        (gpu or max_cost is None, "--max-cost is for --gpu: here nothing is billed"),
        (
            gpu or first,
            "no data set is given: give its FOLDER, or --gpu for the one that `pneumoctl data push` has uploaded",
        ),
        (
            not gpu or resume or not first,
            "--gpu trains on the data set that `pneumoctl data push` has uploaded: omit the folder",
        ),
        (not resume or not arguments, "a resumed run keeps its own settings: omit the flags after --"),
    )
    for valid, message in rules:
        if not valid:
            raise PneumoError(message, "pneumoctl train --help", Exit.USAGE)
    arch = _parsed(arguments, gpu)
    return TrainingRequest(first, tuple(arguments), runtime, max_cost, stall * 60, resume, detach, arch=arch)


def _on_spot(request: TrainingRequest, gpu: bool, spot: bool, retries: int | None, fallback: bool) -> TrainingRequest:
    rules = (
        (gpu or not spot, "--spot requires --gpu"),
        (spot or (retries is None and not fallback), "--spot-retries and --fallback require --spot"),
        (retries is None or 0 <= retries <= 100, "--spot-retries must be from 0 to 100"),
    )
    for valid, message in rules:
        if not valid:
            raise PneumoError(message, "pneumoctl train --help", Exit.USAGE)
    if not spot:
        return request
    return replace(request, market="spot", spot_retries=RETRIES if retries is None else retries, fallback=fallback)


def _parsed(arguments: list[str], gpu: bool) -> str:
    """Check the flags for model.train and their values before anything is started; return the name of the network.

    The name is empty if --name is given.
    """
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            parsed = parser().parse_args(["data", "--out", "out", *arguments])
    except SystemExit:
        last = (output.getvalue().strip().splitlines() or ["they cannot be read"])[-1]
        raise PneumoError(f"flags for model.train: {last}", "python -m model.train --help", Exit.USAGE) from None
    if parsed.out != "out" or parsed.resume:
        raise PneumoError(
            f"{' and '.join(OURS)} cannot follow --: pneumoctl sets them", "pneumoctl train --help", Exit.USAGE
        )
    if gpu and parsed.weights not in (None, "imagenet", "none"):
        message = f"--weights {parsed.weights}: the GPU host has no files of this machine"
        raise PneumoError(message, "pneumoctl train --gpu -- --weights imagenet; or none", Exit.USAGE)
    if parsed.name:
        store.require_valid_name(parsed.name)
    try:
        settings = choose_settings(parsed)
    except SettingsError as error:
        raise PneumoError(f"flags for model.train: {error}", "python -m model.train --help", Exit.USAGE) from None
    return "" if parsed.name else settings.arch
