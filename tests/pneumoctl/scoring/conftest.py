"""An API that returns prepared answers, and no waiting between attempts."""

import threading
from collections.abc import Iterator

import pytest

from pneumoctl.scoring import api_client
from tests.pneumoctl.scoring.prepared_api import Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(api_client.time, "sleep", lambda seconds: None)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
