"""An API that returns prepared answers, and no waiting between attempts."""

from collections.abc import Iterator

import pytest

from pneumoctl.scoring import api_client
from tests.pneumoctl.scoring.prepared_api import Server
from tests.serving import serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(api_client.time, "sleep", lambda seconds: None)
    with serving(Server()) as made:
        yield made
