"""One server for all tests of the lab's AWS. Each test module that uses EC2 names its own REGION."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.api.client import Api, VpcIds, create_vpc, running


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("api")) as running_api:
        yield running_api


@pytest.fixture(scope="module")
def ec2(api: Api, request: pytest.FixtureRequest) -> Any:
    """EC2 in the region of the test module."""
    return api.client("ec2", region=request.module.REGION)


@pytest.fixture(scope="module")
def net(ec2: Any) -> VpcIds:
    return create_vpc(ec2)


@pytest.fixture
def refused() -> Any:
    """`with refused as failure:` expects a ClientError; `code(failure)` is its error code."""
    return pytest.raises(pytest.importorskip("botocore.exceptions").ClientError)
