"""The entry point: signals are blocked during the imports, so that an early Ctrl-C is reported like any other."""

import importlib
import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Entry point of the console script."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    commands = importlib.import_module("pneumoctl.cli.main")
    sys.exit(commands.main(lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask)))


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
