"""What the API is told by its environment."""

from dataclasses import dataclass
from pathlib import Path

from webapp.environment import Environment


@dataclass(frozen=True)
class StoreSettings:
    """Where Redis is, how to be let in, and the keys of the records' MAC."""

    host: str
    port: int
    username: str | None
    password: str
    mac_key: bytes
    mac_keys_previous: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, environment: Environment) -> "StoreSettings":
        """From REDIS_HOST, REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD, MAC_KEY, MAC_KEYS_PREVIOUS.

        What was sealed under a previous key is read; all that is written is sealed under MAC_KEY.
        """
        return cls(
            host=environment.text("REDIS_HOST", "127.0.0.1"),
            port=environment.number("REDIS_PORT", 6379, 1, 65535),
            username=environment.text("REDIS_USERNAME", "") or None,
            password=environment.text("REDIS_PASSWORD"),
            mac_key=environment.key("MAC_KEY"),
            mac_keys_previous=environment.keys("MAC_KEYS_PREVIOUS"),
        )


@dataclass(frozen=True)
class ApiSettings:
    """All of the API's settings; sizes in bytes, times in seconds."""

    store: StoreSettings
    token: str
    token_previous: str
    bundle: Path | None
    upload_bytes: int
    pending: int
    scoring: int
    threads: int
    patience: float
    answer_seconds: float

    @classmethod
    def read(cls, environment: Environment) -> "ApiSettings":
        """From the environment; MODEL_BUNDLE may be absent and means the bundle that is shipped.

        API_TOKEN_PREVIOUS lets in, too, until all who ask have learned the new one; absent or empty, there is none.

        MAX_PENDING bounds the requests that a worker has accepted, MAX_SCORING the pictures that it decodes at
        the same time (they are what needs memory), MAX_WAIT how long one waits for its turn, MAX_ANSWER
        after how long no further file of a request is begun (the page gives up after its API_TIMEOUT, which must
        be longer), THREADS what ONNX Runtime uses for one picture (0: its own choice).
        """
        bundle = environment.text("MODEL_BUNDLE", "")
        return cls(
            store=StoreSettings.read(environment),
            token=environment.secret("API_TOKEN"),
            token_previous=environment.secret("API_TOKEN_PREVIOUS", default=""),
            bundle=Path(bundle) if bundle else None,
            upload_bytes=environment.number("MAX_UPLOAD_MB", 25, 1, 1024) * 1024 * 1024,
            pending=environment.number("MAX_PENDING", 16, 1, 1024),
            scoring=environment.number("MAX_SCORING", 2, 1, 64),
            threads=environment.number("THREADS", 1, 0, 256),
            patience=environment.number("MAX_WAIT", 20.0, 0.0, 600.0),
            answer_seconds=environment.number("MAX_ANSWER", 45.0, 0.1, 600.0),
        )
