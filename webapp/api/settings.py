"""The API's settings, read from environment variables."""

from dataclasses import dataclass
from pathlib import Path

from model.serving.prediction import OUTSIDE_USE, OutsideUse
from webapp.environment import Auth, Environment


@dataclass(frozen=True)
class StoreSettings:
    """The address and credentials of Redis, and the keys of the records' MAC."""

    host: str
    port: int
    socket: str
    username: str | None
    password: str
    mac_key: bytes
    mac_keys_previous: tuple[bytes, ...] = ()
    retention_days: int = 0

    @classmethod
    def read(cls, environment: Environment) -> "StoreSettings":
        """Read REDIS_HOST, REDIS_PORT, REDIS_SOCKET, REDIS_USERNAME, REDIS_PASSWORD, MAC_KEY, MAC_KEYS_PREVIOUS.

        RETENTION_DAYS: days after which a result is erased; 0: results are kept for ever.

        REDIS_SOCKET is preferred to host and port: any program can take a port that Redis left.
        New records are sealed with MAC_KEY; records sealed with a previous key can still be read.
        """
        return cls(
            host=environment.text("REDIS_HOST", "127.0.0.1"),
            port=environment.number("REDIS_PORT", 6379, 1, 65535),
            socket=environment.text("REDIS_SOCKET", ""),
            username=environment.text("REDIS_USERNAME", "") or None,
            password=environment.text("REDIS_PASSWORD"),
            mac_key=environment.key("MAC_KEY"),
            mac_keys_previous=environment.keys("MAC_KEYS_PREVIOUS"),
            retention_days=environment.number("RETENTION_DAYS", 0, 0, 36500),
        )


@dataclass(frozen=True)
class ApiSettings:
    """All settings of the API; sizes in bytes, times in seconds."""

    store: StoreSettings
    token: str
    token_previous: str
    bundle: Path | None
    outside_use: OutsideUse
    film_bytes: int
    upload_bytes: int
    max_pending: int
    max_scoring: int
    threads: int
    max_wait: float
    answer_seconds: float
    auth: Auth = "none"
    page_token: str = ""
    page_token_previous: str = ""
    receiver_token: str = ""
    receiver_token_previous: str = ""
    session_idle: float = 1800.0
    session_absolute: float = 43200.0
    received_lease_s: float = 60.0

    @classmethod
    def read(cls, environment: Environment) -> "ApiSettings":
        """Read these environment variables, of which only API_TOKEN is required, and those of the store.

        API_TOKEN_PREVIOUS: accepted as well, until all clients use the new token; empty or absent: none.
        MODEL_BUNDLE: directory of the bundle; absent: the bundle that ships with the package.
        OUTSIDE_USE: "refuse" films that are known to be outside the intended use, or "score" them with a caution.
        KEEP_16_BIT_MB: the most memory that the 16-bit film of a result may take; 0: none is kept.
        MAX_UPLOAD_MB: size of all files of a request.
        MAX_PENDING: uploads that a worker accepts at the same time.
        MAX_SCORING: pictures that it decodes at the same time; they determine the memory that it needs.
        MAX_WAIT: how long a picture waits to be decoded.
        RECEIVED_LEASE: how long a process has a received film to score it, before another one may take it.
        MAX_ANSWER: after this time no further file of a request is started. The page gives up after its API_TIMEOUT,
        which must be longer.
        AUTH: "users", who log in to the page with sessions and roles, or "none": all who reach the page may do all.
        PAGE_TOKEN and PAGE_TOKEN_PREVIOUS: of the page, which with AUTH=users may do nothing for which a user must log
        in; so a page of an earlier release, which asks nobody to, shows nothing.
        RECEIVER_TOKEN and RECEIVER_TOKEN_PREVIOUS: of the DICOM receiver, which may send films and nothing else.
        SESSION_IDLE_MINUTES: a session ends so long after its last use; SESSION_HOURS: so long after the login.
        THREADS: threads of ONNX Runtime for one picture; 0: its own choice.
        """
        bundle = environment.text("MODEL_BUNDLE", "")
        return cls(
            store=StoreSettings.read(environment),
            token=environment.secret("API_TOKEN"),
            token_previous=environment.secret("API_TOKEN_PREVIOUS", default=""),
            bundle=Path(bundle) if bundle else None,
            outside_use=environment.choice("OUTSIDE_USE", OUTSIDE_USE),
            film_bytes=environment.number("KEEP_16_BIT_MB", 0, 0, 64) * 1_000_000,
            upload_bytes=environment.number("MAX_UPLOAD_MB", 25, 1, 1024) * 1024 * 1024,
            max_pending=environment.number("MAX_PENDING", 16, 1, 1024),
            max_scoring=environment.number("MAX_SCORING", 2, 1, 64),
            threads=environment.number("THREADS", 1, 0, 256),
            max_wait=environment.number("MAX_WAIT", 20.0, 0.0, 600.0),
            answer_seconds=environment.number("MAX_ANSWER", 45.0, 0.1, 600.0),
            auth=environment.auth(),
            page_token=environment.secret("PAGE_TOKEN", default=""),
            page_token_previous=environment.secret("PAGE_TOKEN_PREVIOUS", default=""),
            receiver_token=environment.secret("RECEIVER_TOKEN", default=""),
            receiver_token_previous=environment.secret("RECEIVER_TOKEN_PREVIOUS", default=""),
            session_idle=60.0 * environment.number("SESSION_IDLE_MINUTES", 30, 1, 1440),
            session_absolute=3600.0 * environment.number("SESSION_HOURS", 12, 1, 168),
            received_lease_s=environment.number("RECEIVED_LEASE", 60.0, 1.0, 600.0),
        )
