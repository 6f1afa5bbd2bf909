"""Rendering is strict."""

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.plan.render import render


def test_an_undefined_name_fails_before_anything_is_touched() -> None:
    with pytest.raises(PneumoError, match=r"redis/redis\.conf"):
        render("redis/redis.conf", address="127.0.0.1")


def test_a_missing_template_is_named() -> None:
    with pytest.raises(PneumoError, match="no/such"):
        render("no/such")
