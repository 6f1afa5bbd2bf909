"""Uploaded files: small ones in memory, large ones on disk, none left open."""

import pytest
from flask import Flask, request
from urllib3 import encode_multipart_formdata
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.upload import UploadRequest


@pytest.fixture
def app() -> Flask:
    """An app that accepts at most three form parts."""
    app = Flask(__name__)
    app.request_class = UploadRequest
    app.config["MAX_FORM_PARTS"] = 3
    return app


def form(*contents: bytes) -> dict:
    """A form with files."""
    body, kind = encode_multipart_formdata([("file", ("a.png", content)) for content in contents])
    return {"method": "POST", "data": body, "content_type": kind}


def test_small_files_are_in_memory_large_ones_on_disk_and_all_closed(app):
    with app.test_request_context(**form(b"x" * 1000, b"y" * 3_000_000)):
        small, large = request.files.getlist("file")
        assert (small.stream._rolled, large.stream._rolled) == (False, True)
        assert (small.read(), large.read()) == (b"x" * 1000, b"y" * 3_000_000)
    assert small.stream.closed
    assert large.stream.closed


def test_files_of_a_rejected_form_are_closed(app):
    with app.test_request_context(**form(b"a", b"b", b"c", b"d")):
        with pytest.raises(RequestEntityTooLarge):
            request.files.getlist("file")
        streams = request.__dict__["_streams"]
        assert streams
    assert all(stream.closed for stream in streams)
