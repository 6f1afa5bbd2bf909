"""Fixtures that every test folder shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real pictures named by PNEUMO_DATA; the test is skipped without it (CI makes a skip an error)."""
    root = os.environ.get("PNEUMO_DATA")
    if not root:
        pytest.skip("PNEUMO_DATA does not name a folder of real X-rays")
    return Path(root)
