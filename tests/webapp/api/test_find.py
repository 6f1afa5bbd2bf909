"""The prediction for a file whose answer was lost is found by the file's content and name."""

import hashlib

import pytest

from tests.webapp.api.answers import problem
from tests.webapp.api.test_openapi import check

PATH = "/v1/predictions/find"


def find(caller, document):
    """The response to a search for a file."""
    return caller.client.post(PATH, json=document, headers=caller.headers)


@pytest.mark.parametrize("name", ["a.png", "ward 3/a b.png", "Röntgen\u202e.png", "x" * 300 + ".png"])
def test_the_first_record_of_the_same_file_is_found(caller, clear_picture, name):
    (stored,) = caller.sent((clear_picture, name))
    answer = find(caller, {"sha256": hashlib.sha256(clear_picture).hexdigest(), "file": name})
    assert answer.get_json() == stored
    check(answer, PATH, "post")


def test_another_name_or_content_is_not_found(caller, clear_picture):
    caller.sent((clear_picture, "a.png"))
    digest = hashlib.sha256(clear_picture).hexdigest()
    for other in ({"sha256": digest, "file": "b.png"}, {"sha256": "0" * 64, "file": "a.png"}):
        answer = find(caller, other)
        problem(answer, 404, "not-found")
        check(answer, PATH, "post")


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"sha256": "0" * 64},
        {"sha256": "0" * 63, "file": "a"},
        ["x"],
        {"sha256": "0" * 64, "file": "x" * 4097},
    ],
)
def test_what_names_no_file_is_rejected(caller, document):
    answer = find(caller, document)
    problem(answer, 400, "bad-file")
    check(answer, PATH, "post")


@pytest.mark.parametrize("body", [b"[" * 200_000, b"\xff", b'{"sha256":'])
def test_a_body_that_is_not_json_is_rejected(caller, body):
    headers = caller.headers | {"Content-Type": "application/json"}
    problem(caller.client.post(PATH, data=body, headers=headers), 400, "bad-file")
