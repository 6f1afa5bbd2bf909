"""`python -m webapp.receiver.check`: wait until the receiver of this environment accepts connections."""

import os
import socket
import sys
import time

_SECONDS = 40.0
_POLL_SECONDS = 0.1


def main() -> int:
    """Returns 1, with a line on stderr, if it does not accept any within some time."""
    address = os.environ["DICOM_ADDRESS"], int(os.environ["DICOM_PORT"])
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            with socket.create_connection(address, timeout=5):
                return 0
        except OSError as error:
            if time.monotonic() >= deadline:
                sys.stderr.write(f"the DICOM receiver does not accept connections: {error}\n")
                return 1
        time.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
