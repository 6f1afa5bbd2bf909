"""Hand a film to the API by STOW-RS; its answer, or that it gave none, becomes the status of C-STORE."""

import json
import logging
import secrets
from functools import partial
from http import HTTPStatus
from typing import Any

import urllib3

from model.serving import unix_socket
from webapp import dicom
from webapp.receiver.settings import ReceiverSettings

log = logging.getLogger(__name__)
_PATH = "/dicomweb/studies"
_TIMEOUT = urllib3.Timeout(connect=2.0, read=60.0)
# While the API or Redis is restarted. It is safe to repeat: the API knows a film that it has.
_RETRY = urllib3.Retry(
    total=4,
    status_forcelist=[503],
    allowed_methods=None,
    backoff_factor=0.3,
    respect_retry_after_header=False,
    raise_on_status=False,
    redirect=False,
)
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE)


class Forwarder:
    """Sends films to the API. Safe to share between threads."""

    def __init__(self, settings: ReceiverSettings) -> None:
        pool: Any = partial(unix_socket.pool, settings.api_socket) if settings.api_socket else urllib3.PoolManager
        self._http = pool(maxsize=settings.associations)
        self._url = settings.api_url.rstrip("/") + _PATH
        self._token = settings.token

    def send(self, content: bytes, calling: str) -> int:
        """The status of C-STORE for a DICOM file: SUCCESS once the API has it on the disk of Redis.

        calling: the AE title by which the sender calls itself.
        """
        limit = secrets.token_hex(16)
        head = f"--{limit}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={limit}',
            "Accept": dicom.JSON_TYPE,
            dicom.CALLING_HEADER: dicom.clean_title(calling),
        }
        body = b"".join((head, content, f"\r\n--{limit}--\r\n".encode()))
        try:
            answer = self._http.request("POST", self._url, body=body, headers=headers, retries=_RETRY, timeout=_TIMEOUT)
        except urllib3.exceptions.HTTPError as error:
            log.warning("the API does not take films: %s", type(error).__name__)
            return dicom.OUT_OF_RESOURCES
        return _status(answer.status, answer.data)


def _status(http: int, body: bytes) -> int:
    try:
        answer = json.loads(body)
        if http == HTTPStatus.OK and answer[dicom.STORED]["Value"][0]:
            return dicom.SUCCESS  # what does not name the film has not stored it, whoever answers there
        reason = answer[dicom.FAILED]["Value"][0][dicom.FAILURE_REASON]["Value"][0]
    except (ValueError, LookupError, TypeError):
        if http in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            log.warning("the API does not know this receiver: one of them is of another version or has old secrets")
        log.warning("the API does not take films: it answered with status %d", http)
        return dicom.OUT_OF_RESOURCES if http in _BUSY else dicom.PROCESSING_FAILURE
    # What is not 200 is no success, whatever it says.
    return reason if isinstance(reason, int) and 0 < reason <= 0xFFFF else dicom.PROCESSING_FAILURE
