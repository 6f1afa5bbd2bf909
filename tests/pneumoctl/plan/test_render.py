"""Rendering is strict."""

import jinja2
import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.plan.render import environment, render


def test_an_undefined_name_fails_before_anything_is_touched() -> None:
    with pytest.raises(PneumoError, match=r"redis/redis\.conf"):
        render("redis/redis.conf", address="127.0.0.1")


def test_a_missing_template_is_named() -> None:
    with pytest.raises(PneumoError, match="no/such"):
        render("no/such")


def test_a_template_is_compiled_once_however_often_it_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, real = [], jinja2.Environment.compile

    def counted(self: jinja2.Environment, source: str, name: str, *more: object, **options: object) -> object:
        compiled.append(name)
        return real(self, source, name, *more, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(jinja2.Environment, "compile", counted)
    environment.cache_clear()
    texts = {render("journald/pneumoctl.conf", max_mb=megabytes) for megabytes in range(50)}

    assert len(texts) == 50 and compiled == ["journald/pneumoctl.conf.j2"]
