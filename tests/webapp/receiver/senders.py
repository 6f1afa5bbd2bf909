"""Senders of DICOM, and a receiver in this process."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from tests.webapp.servers import TOKEN, free_port
from webapp.receiver import server as dicom_server
from webapp.receiver.limits import LimitedServer
from webapp.receiver.settings import ReceiverSettings

TITLE = "PNEUMOCTL"
VERIFICATION, CR = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.1"


def certificate(folder: Path) -> str:
    """A file with the certificate and key of a sender."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sender")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    signed = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / "sender.pem"
    file.write_bytes(signed + key.private_bytes(pem, kind, serialization.NoEncryption()))
    return str(file)


def close(connection: AssociationSocket) -> None:
    """Close the socket of a sender, which pynetdicom leaves open if the receiver has closed its own."""
    if connection.socket is not None:
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)
        connection.socket.close()


def settings(api_url: str, **more) -> ReceiverSettings:
    """The receiver's settings on a free port."""
    values = {
        "address": "127.0.0.1",
        "port": free_port(),
        "ae_title": TITLE,
        "calling": (),
        "associations": 8,
        "api_url": api_url,
        "api_socket": None,
        "token": TOKEN,
        "film_bytes": 1_000_000,
        "tls": None,
    }
    return ReceiverSettings(**values | more)


@contextmanager
def receiving(chosen: ReceiverSettings) -> Iterator[LimitedServer]:
    """A receiver in this process until the end of the block."""
    server = dicom_server.make(chosen)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        for association in server.active_associations:
            association.abort()
            association.join(60)
        server.server_close()


def associate(
    port: int, calling: str = "MODALITY", called: str = TITLE, classes: Sequence[str] = (VERIFICATION, CR), **more
) -> Association:
    """An association, which may have been rejected."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    for each in classes:
        entity.add_requested_context(each)
    return entity.associate("127.0.0.1", port, ae_title=called, **more)


def send(port: int, film: Dataset, **more) -> int | None:
    """The status of C-STORE; None if there was none."""
    association = associate(port, **more)
    if not association.is_established:
        return None
    try:
        return association.send_c_store(film).get("Status")
    finally:
        association.release()
