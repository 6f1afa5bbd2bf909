"""The lab's command line: up, down, status, run CMD.., shell, fault, calls, logs."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from tests.lab.machine.lab import Lab
from tests.lab.machine.requirements import missing

HOST_FAULTS = ("cut", "restore", "freeze", "thaw", "kill", "fill", "drain", "change-keys", "restore-keys")
HOST_FAULTS += ("replace", "reboot")
FAULTS = f"""\
faults (HOST is a name as web-0, an id or an address):
  fault KIND HOST                  KIND: {", ".join(HOST_FAULTS)}
  fault on HOST CMD..              run a command on the host as root, without the network
  fault api KIND [FIELD=VALUE..]   a fault of the AWS API, as tests/lab/api/faults.py lists them
  fault forward SECONDS            put the scheduler's clock forward
  fault clear                      no more faults of the API
"""


def main() -> int:
    arguments = parser().parse_args()
    try:
        lab = Lab(arguments.name)
        if arguments.command not in ("up", "down") and not lab.is_up():
            return _fail(f"lab {arguments.name} is not up", f"python -m tests.lab --name {arguments.name} up")
        return COMMANDS[arguments.command](lab, arguments)
    except (KeyError, ValueError, RuntimeError, TimeoutError, OSError) as reason:
        return _fail(str(reason.args[0] if isinstance(reason, KeyError) else reason), "python -m tests.lab logs")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__, epilog=FAULTS)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument(
        "--name", default=os.environ.get("PNEUMO_LAB", "main"), help="which lab; several may be up at once"
    )
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring it up (again: nothing)")
    commands.add_parser("down", help="end all it began")
    commands.add_parser("status", help="its hosts")
    commands.add_parser("run", help="run a command as the operator").add_argument("words", nargs=argparse.REMAINDER)
    commands.add_parser("shell", help="a shell as the operator")
    commands.add_parser("fault", help="see below").add_argument("words", nargs=argparse.REMAINDER)
    commands.add_parser("calls", help="the calls made of the AWS API").add_argument("--mutating", action="store_true")
    commands.add_parser("logs", help="the last lines of all logs").add_argument("--lines", type=int, default=30)
    return made


def _up(lab: Lab, arguments: argparse.Namespace) -> int:
    missing_requirements = missing()
    if missing_requirements:
        return _fail("this machine cannot run the lab", *missing_requirements)
    signal.signal(signal.SIGTERM, _interrupt)
    lab.up(lambda step: print(f"lab {lab.paths.name}: {step}", file=sys.stderr, flush=True))
    print(f"lab {lab.paths.name} is up; in it: python -m tests.lab --name {lab.paths.name} shell")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _down(lab: Lab, arguments: argparse.Namespace) -> int:
    lab.down()
    print(f"lab {lab.paths.name} is down")
    return 0


def _status(lab: Lab, arguments: argparse.Namespace) -> int:
    line = "{name:<24} {id:<20} {private_ip:<14} {public_ip:<15} {api:<14} {state}"
    print(
        line.format(name="HOST", id="INSTANCE", private_ip="PRIVATE", public_ip="PUBLIC", api="EC2 SAYS", state="IT IS")
    )
    for host in lab.hosts():
        print(line.format(**host))
    if lab.reconciler_failure():
        print(f"the reconciler has failed: {lab.reconciler_failure()}")
    for fault in lab.ask("GET", "faults"):
        print("fault {id} of the API: {kind}, {service}:{action}, {matched} calls so far".format(**fault))
    return 0


def _run(lab: Lab, arguments: argparse.Namespace) -> int:
    return _become(lab, arguments.words)


def _shell(lab: Lab, arguments: argparse.Namespace) -> int:
    return _become(lab, ["bash", "-i"])


def _become(lab: Lab, argv: Sequence[str]) -> int:
    """Replace this process by the command, in the operator's home, so that it gets the signals and the terminal."""
    if not argv:
        return _fail("there is no command", "python -m tests.lab run pneumoctl status")
    os.chdir(lab.paths.home)
    command = lab.command(argv)
    return os.execvpe(command[0], command, lab.environment())


def _fault(lab: Lab, arguments: argparse.Namespace) -> int:
    words = arguments.words or [""]
    kind, rest = words[0], words[1:]
    if kind in HOST_FAULTS and len(rest) == 1:
        getattr(lab.fault, kind.replace("-", "_"))(rest[0])
    elif kind == "on" and len(rest) > 1:
        print(lab.fault.run_on_host(rest[0], rest[1:]), end="")
    elif kind == "api" and rest:
        print(lab.fault.api(rest[0], **dict(_field(text) for text in rest[1:])))
    elif kind == "forward" and len(rest) == 1:
        print(json.dumps(lab.ask("POST", "clock", {"forward": float(rest[0])})))
    elif kind == "clear" and not rest:
        lab.fault.clear()
    else:
        return _fail("no such fault", *FAULTS.splitlines())
    return 0


def _field(text: str) -> tuple[str, str | float]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ValueError(f"a field of a fault is NAME=VALUE, not {text!r}")
    try:
        number = float(value)
    except ValueError:
        return name, value
    return name, int(number) if number.is_integer() else number


def _calls(lab: Lab, arguments: argparse.Namespace) -> int:
    for call in lab.calls(mutating=True if arguments.mutating else None):
        print(
            "{number:>5} {time} {status} {service}:{action} {target} {agent} {milliseconds} ms {fault}".format(**call)
        )
    return 0


def _logs(lab: Lab, arguments: argparse.Namespace) -> int:
    print(lab.tail(arguments.lines))
    return 0


def _fail(what: str, *hints: str) -> int:
    print(f"error: {what}", *(f"  {hint}" for hint in hints), sep="\n", file=sys.stderr)
    return 1


COMMANDS: dict[str, Callable[[Lab, argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "run": _run,
    "shell": _shell,
    "fault": _fault,
    "calls": _calls,
    "logs": _logs,
}

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
