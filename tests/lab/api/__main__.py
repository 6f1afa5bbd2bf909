"""Start the lab's AWS and serve until a signal ends it."""

import argparse
import os
import signal
from pathlib import Path
from types import FrameType

from tests.lab.api.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.api")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5555, help="0: a free one; it is in the first line printed")
    parser.add_argument("--state", type=Path, required=True, help="where consoles are read and calls are written")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    serve(arguments.host, arguments.port, arguments.state)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # everything is written, and a normal exit of moto takes a second


if __name__ == "__main__":
    main()
