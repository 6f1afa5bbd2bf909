"""`python -m webapp.receiver`: receive films until SIGTERM; associations that run then get some seconds to end."""

import logging
import signal
import sys
import threading
import time
from types import FrameType

from webapp.environment import Environment, EnvironmentInvalid
from webapp.receiver import server as dicom_server
from webapp.receiver.settings import ReceiverSettings

_END_SECONDS = 10.0


def main() -> int:
    """Returns 0 after SIGTERM or SIGINT, 1 with a line on stderr if it cannot listen."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    environment = Environment()
    try:
        settings = ReceiverSettings.read(environment)
        environment.check()
        server = dicom_server.make(settings)
    except (EnvironmentInvalid, OSError) as error:
        sys.stderr.write(f"the receiver cannot listen: {error}\n")
        return 1

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()  # it waits for the loop, which this handler interrupts

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    logging.info("receiving films as %s on %s:%d", settings.ae_title, settings.address, settings.port)
    server.serve_forever()
    deadline = time.monotonic() + _END_SECONDS
    while server.active_associations and time.monotonic() < deadline:
        time.sleep(0.05)
    for association in server.active_associations:
        association.abort()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
