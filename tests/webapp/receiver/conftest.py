"""What the tests of the receiver share."""

import pytest
from pynetdicom.transport import AssociationSocket

from tests.webapp.receiver import senders


@pytest.fixture(autouse=True)
def no_socket_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders close their sockets at once; that of the receiver does so itself."""
    monkeypatch.setattr(AssociationSocket, "_shutdown_socket", senders.close)
