"""The JSON documents of commands that run in this process."""

import json
from typing import Any

import pytest

from pneumoctl.cli.main import run


def document_of(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command with --json and return its document. Raises AssertionError if it ends with another exit code."""
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document
