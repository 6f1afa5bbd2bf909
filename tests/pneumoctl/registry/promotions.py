"""The command that promotes a model, and its audit records."""

from typing import Any

import pytest

from pneumoctl.stack import audit, stack
from pneumoctl.stack.settings import Settings
from tests.pneumoctl.command_documents import document_of

SETTINGS = Settings(stack="t")


def promote(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    return document_of(capsys, "model", "promote", *words, code=code)


def acts() -> list[dict[str, Any]]:
    return [entry for entry in audit.chain(stack.find("t")).entries() if entry["event"] == "begun"]
