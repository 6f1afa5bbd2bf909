"""One server for all tests of the lab's AWS. Each test module uses its own region."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.api.client import Api, running


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as running_api:
        yield running_api


@pytest.fixture
def refused() -> Any:
    """`with refused as failure:` expects a ClientError; `code(failure)` is its error code."""
    return pytest.raises(pytest.importorskip("botocore.exceptions").ClientError)
