"""The service of DICOM: C-ECHO, and C-STORE, which succeeds once the API has the film on the disk of Redis."""

import logging
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.dsutils import encode_file_meta

from webapp import dicom
from webapp.receiver.forward import Forwarder
from webapp.receiver.limits import LimitedHandler, LimitedServer
from webapp.receiver.settings import ReceiverSettings

log = logging.getLogger(__name__)
_VERIFICATION = "1.2.840.10008.1.1"
_PDU_BYTES = 1 << 17
_ASSOCIATION_SECONDS = 15  # for its request
_IDLE_SECONDS = 60
# Why, by the source and the reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4), without the titles that a sender chose.
_REJECTIONS = {
    (1, 3): "its calling AE title is not one of dicom_calling",
    (1, 7): "it called another AE title than dicom_ae_title",
    (1, 2): "it asked for another application context than DICOM's",
    (2, 2): "it speaks another version of the protocol",
    (3, 2): "as many senders as may be are connected",
}
# Stated in each film's file; the same in every version, because a film is known by its bytes.
_IMPLEMENTATION = "2.25.330143262036428013204417953426412364097"


def make(settings: ReceiverSettings) -> LimitedServer:
    """A server that listens; `serve_forever` serves. Raises OSError if it cannot listen, or if TLS lacks a file."""
    _quiet()
    entity = AE(settings.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.calling)
    entity.maximum_associations = settings.associations
    entity.maximum_pdu_size = _PDU_BYTES
    entity.acse_timeout = _ASSOCIATION_SECONDS
    entity.network_timeout = entity.dimse_timeout = _IDLE_SECONDS
    entity.add_supported_context(_VERIFICATION)
    for uid in dicom.STORAGE_CLASSES:
        entity.add_supported_context(uid, list(dicom.TRANSFER_SYNTAXES))
    forwarder = Forwarder(settings)
    handlers: list[Any] = [
        (evt.EVT_C_ECHO, _echo),
        (evt.EVT_C_STORE, _store, [forwarder]),
        (evt.EVT_REJECTED, _rejected),
    ]
    server = entity.make_server(
        (settings.address, settings.port),
        ssl_context=settings.context(),
        evt_handlers=handlers,
        server_class=LimitedServer,
        request_handler=LimitedHandler,
    )
    assert isinstance(server, LimitedServer)
    server.film_bytes = settings.film_bytes
    server.connections = settings.associations + 8  # some more, so that they are refused by DICOM's own answer
    return server


def _quiet() -> None:
    """Have pynetdicom log nothing: it quotes what senders send."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)


def _echo(event: evt.Event) -> int:
    event.assoc.dul.socket.begin()
    return dicom.SUCCESS


def _store(event: evt.Event, forwarder: Forwarder) -> int:
    """The status of a film. No other one than that of success may be taken for it, so an error is a failure."""
    event.assoc.dul.socket.begin()
    try:
        status = forwarder.send(_file(event), event.assoc.requestor.ae_title)
    except Exception as error:
        log.error("a film was not taken in: unexpected %s", type(error).__name__)
        status = dicom.PROCESSING_FAILURE
    log.info("a film from %s: 0x%04X", event.assoc.requestor.address, status)
    return status


def _file(event: evt.Event) -> bytes:
    """The film as a DICOM file, the same bytes whenever it is sent in the same transfer syntax."""
    meta = event.file_meta
    meta.ImplementationClassUID = _IMPLEMENTATION
    del meta.ImplementationVersionName
    return b"".join((bytes(128), b"DICM", encode_file_meta(meta), event.encoded_dataset(include_meta=False)))


def _rejected(event: evt.Event) -> None:
    answer = event.assoc.acceptor.primitive
    why = _REJECTIONS.get((answer.result_source, answer.diagnostic), "for another reason") if answer else "unknown"
    log.warning("an association from %s was rejected: %s", event.assoc.requestor.address, why)
