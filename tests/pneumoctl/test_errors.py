"""Exceptions in the words of a user: without the names of Python's classes."""

import errno
import http.client
import os
import socket
from unittest.mock import Mock

import pytest
import urllib3

from pneumoctl.errors import in_words, unexpected


def caught(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/a b"), "/a b: No such file or directory"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (TimeoutError(), "it did not answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (http.client.IncompleteRead(b"a"), "its answer is no complete HTTP response"),
        (KeyError("predictions"), "'predictions' is missing"),
        (ValueError("not  a\nnumber"), "not a number"),
        (ValueError(), "it gives no reason"),
        (caught(RuntimeError("wrapped"), OSError(errno.ENOSPC, "No space left on device")), "No space left on device"),
    ],
)
def test_an_exception_in_words(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_what_was_handled_before_is_no_cause() -> None:
    try:
        try:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/none")
        except FileNotFoundError:
            raise ValueError("not a number") from None
    except ValueError as error:
        assert in_words(error) == "not a number"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no.such.host.invalid/"])
def test_a_library_s_exception_is_told_by_its_cause(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "invalid" in url:
        unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=unknown))  # the network's resolver may answer late
    with pytest.raises(urllib3.exceptions.HTTPError) as failed:
        urllib3.PoolManager().request("GET", url, retries=urllib3.Retry(0), timeout=5)
    words = in_words(failed.value)
    assert "Error" not in words and "Pool" not in words and words[0].isupper()


def test_an_unforeseen_error_asks_for_a_report() -> None:
    assert unexpected(KeyError("x")) == "unexpected error in pneumoctl, please report it (KeyError: 'x')"
    assert unexpected(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
