"""Numbers on the page: never rounded to 0 or 1, and never shown as equal if they differ."""

import pytest

from webapp.ui import _probability, _timestamp


@pytest.mark.parametrize(
    ("value", "other", "shown"),
    [
        (0.25, 0.5, "0.250"),
        (0.0, 0.5, "0.000"),
        (1.0, 0.5, "1.000"),
        (0.99999, 0.5, "> 0.999"),
        (0.00001, 0.5, "< 0.001"),
        (0.5, 0.5, "0.500"),
        (0.64151, 0.641551, "0.641510"),
        (0.641551, 0.64151, "0.641551"),
    ],
)
def test_probability(value, other, shown):
    assert _probability(value, other) == shown


def test_timestamp():
    assert _timestamp("2026-01-02T03:04:05.678Z") == "2026-01-02 03:04:05 UTC"
    assert _timestamp("2026-01-02T03:04:05+02:00") == "2026-01-02 01:04:05 UTC"
    with pytest.raises(ValueError, match="yesterday"):
        _timestamp("yesterday")
