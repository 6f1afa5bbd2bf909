"""What is not exactly a finding or a refusal is an error."""

import copy

import pytest

from webapp.ui import documents
from webapp.ui.documents import AnswerInvalid

FINDING = {
    "id": "ab" * 16,
    "file": "a.png",
    "finding": "pneumonia",
    "refusal": None,
    "probability": 0.7,
    "threshold": 0.5,
    "model": {"name": "m", "version": "v1"},
    "input": {"format": "PNG", "width": 10, "height": 10},
    "created": "2026-01-01T00:00:00.000Z",
    "elapsed_ms": 3.5,
}
REFUSAL = FINDING | {
    "finding": None,
    "refusal": {"code": "unreadable", "reason": "broken"},
    "probability": None,
    "input": None,
}
PROBLEM = {"title": "t", "status": 500, "detail": "it broke"}


def test_findings_and_refusals_pass():
    clear = FINDING | {"finding": "no pneumonia", "probability": 0.49999}
    at_the_threshold = FINDING | {"probability": 0.5}
    for document in (FINDING, REFUSAL, clear, at_the_threshold, FINDING | {"probability": 1}):
        assert documents.prediction(copy.deepcopy(document)) == document


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc/passwd"},
        {"id": "ab" * 16 + "\n"},
        {"id": None},
        {"file": ""},
        {"file": None},
        {"file": ["a"]},
        {"finding": "healthy"},
        {"finding": "Pneumonia"},
        {"finding": True},
        {"finding": ["pneumonia"]},
        {"finding": {}},
        {"finding": None},
        {"finding": "no pneumonia"},
        {"refusal": {"code": "unreadable", "reason": "broken"}},
        {"refusal": {}},
        {"refusal": False},
        {"probability": None},
        {"probability": "0.7"},
        {"probability": True},
        {"probability": float("nan")},
        {"probability": float("inf")},
        {"probability": -0.1},
        {"probability": 1.1},
        {"probability": 0.4},
        {"threshold": None},
        {"threshold": float("nan")},
        {"threshold": 0.8},
        {"model": None},
        {"model": {}},
        {"model": {"name": "m"}},
        {"model": {"name": "m", "version": ""}},
        {"model": {"name": "m", "version": 3}},
        {"input": None},
        {"input": {"format": "PNG", "width": "10", "height": 10}},
        {"created": "yesterday"},
        {"created": 5},
        {"elapsed_ms": "fast"},
        {"more": 1},
    ],
)
def test_a_finding_with_one_thing_wrong(change):
    with pytest.raises(AnswerInvalid):
        documents.prediction(FINDING | change)


@pytest.mark.parametrize(
    "change",
    [
        {"refusal": None},
        {"refusal": "unreadable"},
        {"refusal": {"code": "unreadable"}},
        {"refusal": {"code": "", "reason": "r"}},
        {"probability": 0.1},
        {"probability": 0},
        {"finding": "no pneumonia", "probability": 0.1},
    ],
)
def test_a_refusal_with_one_thing_wrong(change):
    with pytest.raises(AnswerInvalid):
        documents.prediction(REFUSAL | change)


@pytest.mark.parametrize("name", sorted(FINDING))
def test_a_field_that_is_not_there(name):
    with pytest.raises(AnswerInvalid):
        documents.prediction({key: value for key, value in FINDING.items() if key != name})


@pytest.mark.parametrize("value", [None, [], "text", 5, {}, [FINDING]])
def test_what_is_no_document(value):
    for check in (documents.prediction, documents.listed, documents.feedback, lambda each: documents.scored(each, 1)):
        with pytest.raises(AnswerInvalid):
            check(value)


def test_another_id_than_asked_for():
    assert documents.prediction(FINDING, FINDING["id"])
    with pytest.raises(AnswerInvalid):
        documents.prediction(FINDING, "cd" * 16)


def test_every_file_is_accounted_for():
    failed = {"file": "b.png", "position": 1, "error": PROBLEM}
    whole = documents.scored({"predictions": [FINDING], "errors": [failed]}, 2)
    assert (len(whole.predictions), whole.failures[0].name, whole.failures[0].detail) == (1, "b.png", "it broke")
    for answer, sent in (
        ({"predictions": []}, 1),
        ({"predictions": [FINDING]}, 2),
        ({"predictions": [FINDING, FINDING]}, 1),
        ({"predictions": [FINDING], "errors": None}, 1),
        ({"predictions": None}, 0),
        ({"predictions": [FINDING], "errors": [{"file": "b.png"}]}, 2),
        ({"predictions": [FINDING], "errors": [{"file": None, "error": PROBLEM}]}, 2),
    ):
        with pytest.raises(AnswerInvalid):
            documents.scored(answer, sent)


def test_two_models_in_one_answer():
    other = FINDING | {"id": "cd" * 16, "model": {"name": "m", "version": "v2"}}
    with pytest.raises(AnswerInvalid):
        documents.scored({"predictions": [FINDING, other]}, 2)
    assert documents.listed({"predictions": [FINDING, other], "damaged": [], "next": None, "total": 2})


@pytest.mark.parametrize(
    "change",
    [{"total": "2"}, {"total": -1}, {"total": True}, {"next": 5}, {"damaged": None}, {"predictions": [{}]},
     {"damaged": [{"id": 5, "error": PROBLEM}]}],
)  # fmt: skip
def test_a_list_with_one_thing_wrong(change):
    page = {"predictions": [FINDING], "damaged": [{"id": "x", "error": PROBLEM}], "next": "c", "total": 2}
    assert documents.listed(page).damaged[0].name == "x"
    with pytest.raises(AnswerInvalid):
        documents.listed(page | change)
