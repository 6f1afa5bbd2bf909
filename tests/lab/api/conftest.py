"""One server for all tests of the lab's AWS: each module works in a region of its own."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.api.client import Api, running


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as one:
        yield one


@pytest.fixture
def refused() -> Any:
    """`with refused as failure:` expects AWS to refuse; `code(failure)` is how."""
    return pytest.raises(pytest.importorskip("botocore.exceptions").ClientError)
