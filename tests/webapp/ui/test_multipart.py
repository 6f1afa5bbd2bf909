"""The forwarded multipart body: werkzeug reads from it what was put in."""

from io import BytesIO

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from webapp.ui.multipart import Multipart


def parsed(body: Multipart) -> list[tuple[str, bytes]]:
    """Names and contents as the API sees them."""
    content = b"".join(body)
    assert len(content) == body.length
    environment = EnvironBuilder(method="POST", data=content, content_type=body.content_type).get_environ()
    with Request(environment) as request:
        return [(file.filename, file.read()) for file in request.files.getlist("file")]


def test_files_arrive_whole_and_in_order():
    files = [("a.png", b"\x00\xff\r\n--x\r\n"), ("ä 胸.png", b""), ("b.png", b"z" * 300_000)]
    assert parsed(Multipart([(name, BytesIO(content)) for name, content in files])) == files


@pytest.mark.parametrize("name", ['a"; name="other"; x="', "a\r\nX-Evil: 1\r\n\r\nbody", "a\\b", "\x00", "x" * 5000])
def test_a_hostile_file_name_does_not_break_the_header(name):
    ((file_name, content),) = parsed(Multipart([(name, BytesIO(b"content"))]))
    assert content == b"content"
    assert "\r" not in file_name
    assert "\n" not in file_name


def test_the_body_can_be_sent_again():
    body = Multipart([("a.png", BytesIO(b"content"))])
    assert b"".join(body) == b"".join(body)


def test_each_body_has_its_own_boundary():
    assert Multipart([]).content_type != Multipart([]).content_type
