"""The stack's log of pneumoctl's commands and their results, with secrets masked."""

import logging

from pneumoctl.files import make_private
from pneumoctl.stack.stack import Stack


class _Masked(logging.Formatter):
    """Formats a record with every secret replaced by `***`."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        super().__init__("%(asctime)s %(message)s")
        self.secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def log_to(stack: Stack, secrets: tuple[str, ...]) -> None:
    """Write every command and its result to the stack's own log, 0600, secrets masked."""
    make_private(stack.layout.logs)
    path = stack.layout.logs / "pneumoctl.log"
    path.touch(mode=0o600)
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Masked(secrets))
    logger = logging.getLogger("pneumoctl")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
