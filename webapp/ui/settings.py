"""What the web page is told by its environment."""

from dataclasses import dataclass

from webapp.environment import Environment


@dataclass(frozen=True)
class UiSettings:
    """All of the page's settings; sizes in bytes, times in seconds."""

    api_urls: tuple[str, ...]
    token: str
    upload_bytes: int
    pending: int
    trusted_hosts: list[str]
    timeout: float

    @classmethod
    def read(cls, environment: Environment) -> "UiSettings":
        """API_URL and API_TOKEN must be there; TRUSTED_HOSTS are the names by which people reach the page.

        API_URL may name several APIs, comma separated.
        """
        return cls(
            api_urls=environment.addresses("API_URL"),
            token=environment.secret("API_TOKEN"),
            upload_bytes=environment.number("MAX_UPLOAD_MB", 25, 1, 1024) * 1024 * 1024,
            pending=environment.number("MAX_PENDING", 8, 1, 1024),
            trusted_hosts=environment.words("TRUSTED_HOSTS", "127.0.0.1,localhost,[::1]"),
            timeout=environment.number("API_TIMEOUT", 60.0, 0.1, 600.0),
        )
