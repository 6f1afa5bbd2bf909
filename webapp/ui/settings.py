"""The page's settings, read from environment variables."""

from dataclasses import dataclass
from pathlib import Path

from webapp.environment import Auth, Environment


@dataclass(frozen=True)
class ApiLimits:
    """How long the page waits for the API (seconds), and how many requests that are no upload wait at the same time.

    max_thumbnails: how many small pictures, beside the other requests.
    """

    upload_seconds: float = 60.0
    read_seconds: float = 3.0
    max_reads: int = 32
    max_thumbnails: int = 48


@dataclass(frozen=True)
class UiSettings:
    """All settings of the page; sizes in bytes, times in seconds."""

    api_urls: tuple[str, ...]
    token: str
    upload_bytes: int
    max_pending: int
    trusted_hosts: list[str]
    limits: ApiLimits
    api_socket: Path | None
    auth: Auth
    proxy: str

    @classmethod
    def read(cls, environment: Environment) -> "UiSettings":
        """Read these environment variables, of which API_URL and API_TOKEN are required.

        API_URL: addresses of the API, separated by commas.
        API_SOCKET: Unix socket of the one API on this machine: any program can take a port that the API left.
        MAX_UPLOAD_MB: size of all files of a request.
        MAX_PENDING: uploads that a worker accepts at the same time.
        TRUSTED_HOSTS: host names by which people reach the page, separated by commas.
        API_TIMEOUT: how long the page waits for the API's whole response to an upload.
        API_READ_TIMEOUT: how long it waits for the whole response to any other request.
        MAX_READS: such requests that wait for the API at the same time, except the small pictures of lists.
        MAX_THUMBNAILS: small pictures that wait. The server needs more threads than MAX_PENDING, MAX_READS and this
        together, so that it can still answer health probes and reject further requests.
        PROXY_ADDRESS: of nginx in front of the page, whose X-Real-IP is believed; empty: there is none.
        AUTH: as that of the API: "users", who log in, or "none": all who reach the page may do all.
        """
        api_socket = environment.text("API_SOCKET", "")
        return cls(
            api_urls=environment.addresses("API_URL"),
            token=environment.secret("API_TOKEN"),
            upload_bytes=environment.number("MAX_UPLOAD_MB", 25, 1, 1024) * 1024 * 1024,
            max_pending=environment.number("MAX_PENDING", 8, 1, 1024),
            trusted_hosts=environment.list_of("TRUSTED_HOSTS", "127.0.0.1,localhost,[::1]"),
            limits=ApiLimits(
                upload_seconds=environment.number("API_TIMEOUT", 60.0, 0.1, 600.0),
                read_seconds=environment.number("API_READ_TIMEOUT", 3.0, 0.1, 600.0),
                max_reads=environment.number("MAX_READS", 32, 1, 1024),
                max_thumbnails=environment.number("MAX_THUMBNAILS", 48, 1, 1024),
            ),
            api_socket=Path(api_socket) if api_socket else None,
            auth=environment.auth(),
            proxy=environment.text("PROXY_ADDRESS", ""),
        )
