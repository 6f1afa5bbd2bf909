"""Times on the page."""

import pytest

from webapp.ui import _timestamp


def test_timestamp():
    assert _timestamp("2026-01-02T03:04:05.678Z") == "2026-01-02 03:04:05 UTC"
    assert _timestamp("2026-01-02T03:04:05+02:00") == "2026-01-02 01:04:05 UTC"
    with pytest.raises(ValueError, match="yesterday"):
        _timestamp("yesterday")
