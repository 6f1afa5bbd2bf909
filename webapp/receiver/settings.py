"""The receiver's settings, read from environment variables."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from webapp.environment import Environment

AE_TITLE = re.compile(r"(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )")  # PS3.5 6.2: no backslash, no control characters
MAX_TITLES = 100


@dataclass(frozen=True)
class ReceiverSettings:
    """All settings of the receiver; sizes in bytes."""

    address: str
    port: int
    ae_title: str
    calling: tuple[str, ...]
    associations: int
    api_url: str
    api_socket: Path | None
    token: str
    film_bytes: int
    tls: tuple[str, str, str] | None

    @classmethod
    def read(cls, environment: Environment) -> "ReceiverSettings":
        """Read these environment variables, of which DICOM_PORT, API_URL and API_TOKEN are required.

        DICOM_ADDRESS, DICOM_PORT: where it listens. DICOM_AE_TITLE: the title by which it must be called.
        DICOM_CALLING: the titles that may call it, separated by commas; empty: any.
        DICOM_ASSOCIATIONS: how many senders may be connected at the same time; each may need MAX_UPLOAD_MB of memory.
        API_URL: the API. API_SOCKET: its Unix socket on this machine: any program can take a port that the API left.
        MAX_UPLOAD_MB: size of a film.
        DICOM_CERTIFICATE, DICOM_KEY: files for TLS. DICOM_CA: senders need a certificate that one in this file signed.
        """
        titles = [environment.text("DICOM_AE_TITLE", "PNEUMOCTL"), *environment.list_of("DICOM_CALLING", "")]
        if len(titles) > MAX_TITLES or not all(AE_TITLE.fullmatch(title) for title in titles):
            environment.fault("DICOM_AE_TITLE or DICOM_CALLING has what is no AE title")
        certificate, key, ca = (environment.text(f"DICOM_{name}", "") for name in ("CERTIFICATE", "KEY", "CA"))
        if bool(certificate) != bool(key) or (ca and not key):
            environment.fault("DICOM_CERTIFICATE and DICOM_KEY belong together, and DICOM_CA to both")
        socket = environment.text("API_SOCKET", "")
        return cls(
            address=environment.text("DICOM_ADDRESS", "127.0.0.1"),
            port=environment.number("DICOM_PORT", 0, 1, 65535),
            ae_title=titles[0],
            calling=tuple(titles[1:]),
            associations=environment.number("DICOM_ASSOCIATIONS", 8, 1, 100),
            api_url=environment.text("API_URL"),
            api_socket=Path(socket) if socket else None,
            token=environment.secret("API_TOKEN"),
            film_bytes=environment.number("MAX_UPLOAD_MB", 25, 1, 1024) * 1024 * 1024,
            tls=(certificate, key, ca) if certificate and key else None,
        )

    def context(self) -> ssl.SSLContext | None:
        """What TLS needs; None without TLS. Raises OSError if a file cannot be read or is none of these."""
        if self.tls is None:
            return None
        certificate, key, ca = self.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        if ca:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context
