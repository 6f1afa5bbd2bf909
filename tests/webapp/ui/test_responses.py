"""What is not exactly a finding or a refusal is an error on the page."""

import pytest

from model.schema import Invalid
from tests.predictions import EARLIER, FINDING, INVALID, VALID
from webapp.ui import responses

PROBLEM = {
    "type": "urn:pneumoctl:problem:internal",
    "title": "t",
    "status": 500,
    "detail": "it broke",
    "code": "internal",
    "instance": "urn:pneumoctl:request:none",
}
FAILED = {"file": "b.png", "position": 1, "error": PROBLEM}
DAMAGED = {"id": "x", "error": PROBLEM}
ENTRY = {"picture": True, "review": None, "review_damaged": False, "disagrees": False, "folder": "", "study": None}
PAGE = {
    "predictions": [FINDING],
    "entries": [ENTRY],
    "damaged": [DAMAGED],
    "next": "c",
    "total": 2,
    "first": 1,
    "models": ["v1"],
}
PLACE = {"number": 1, "total": 2, "first": "0" * 32, "previous": None, "next": "1" * 32}
FEEDBACK = {"prediction": "0" * 32, "label": "unsure", "comment": "", "created": "2026-01-01T00:00:00.000000Z"}
FEEDBACK |= {"who": "alice", "id": "2" * 32, "withdrawn": None}


@pytest.mark.parametrize("name", VALID)
def test_valid_predictions_are_accepted_everywhere(name):
    document = VALID[name]
    assert responses.prediction(document, document["id"]) == document
    assert responses.upload_result({"predictions": [document]}, 1).predictions == [document]
    assert responses.result_page(PAGE | {"predictions": [document]}).predictions == [document]


@pytest.mark.parametrize("name", EARLIER)
def test_predictions_by_an_api_of_an_earlier_version_are_accepted_everywhere(name):
    """The page may be newer than the API: nobody looked for cautions, and the result says so."""
    document = EARLIER[name]
    for read in (
        responses.prediction(document, document["id"]),
        responses.upload_result({"predictions": [document]}, 1).predictions[0],
        responses.upload_result({"predictions": [document], "errors": [FAILED]}, 2).predictions[0],
        responses.result_page(PAGE | {"predictions": [document]}).predictions[0],
    ):
        codes = [each["code"] for each in read["cautions"]]
        assert (codes, read["operating_point"]) == ([] if name == "refusal" else ["not_checked"], None)
        assert read["finding"] == document["finding"]


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_prediction_is_rejected_everywhere(name):
    document = INVALID[name]
    for read in (
        lambda: responses.prediction(document, "0" * 32),
        lambda: responses.upload_result({"predictions": [document]}, 1),
        lambda: responses.upload_result({"predictions": [FINDING, document]}, 2),
        lambda: responses.result_page(PAGE | {"predictions": [document]}),
    ):
        with pytest.raises(Invalid):
            read()


@pytest.mark.parametrize("value", [None, [], "text", 5, {}, [FINDING]])
def test_other_json_is_rejected(value):
    for read in (
        responses.result_page,
        lambda each: responses.feedback(each, "0" * 32),
        lambda each: responses.upload_result(each, 1),
    ):
        with pytest.raises(Invalid):
            read(value)


def test_the_id_of_another_prediction_is_rejected():
    with pytest.raises(Invalid, match=r"document\.id"):
        responses.prediction(FINDING, "cd" * 16)


def test_every_file_is_accounted_for():
    result = responses.upload_result({"predictions": [FINDING], "errors": [FAILED]}, 2)
    assert (len(result.predictions), result.failures[0].name, result.failures[0].detail) == (1, "b.png", "it broke")
    for answer, sent in (
        ({"predictions": []}, 0),
        ({"predictions": []}, 1),
        ({"predictions": [FINDING]}, 2),
        ({"predictions": [FINDING, FINDING]}, 1),
        ({"predictions": [FINDING], "errors": None}, 1),
        ({"predictions": [FINDING], "errors": []}, 1),
        ({"predictions": [FINDING], "more": []}, 1),
        ({"predictions": None}, 0),
        ({"predictions": [FINDING], "errors": [{"file": "b.png"}]}, 2),
        ({"predictions": [FINDING], "errors": [FAILED | {"file": None}]}, 2),
        ({"predictions": [FINDING], "errors": [FAILED | {"error": {"detail": 5}}]}, 2),
    ):
        with pytest.raises(Invalid):
            responses.upload_result(answer, sent)


def test_predictions_by_two_models_in_one_upload_are_rejected():
    other = FINDING | {"id": "cd" * 16, "model": {"name": "m", "version": "v2"}}
    with pytest.raises(Invalid, match="several models"):
        responses.upload_result({"predictions": [FINDING, other]}, 2)
    assert responses.result_page(PAGE | {"predictions": [FINDING, other], "entries": [ENTRY, ENTRY]})


@pytest.mark.parametrize(
    "change",
    [{"total": "2"}, {"total": -1}, {"total": True}, {"next": 5}, {"damaged": None}, {"predictions": [{}]},
     {"damaged": [DAMAGED | {"id": 5}]}, {"damaged": [{"id": "x"}]}, {"more": 1},
     {"entries": []}, {"entries": [ENTRY, ENTRY]}, {"entries": [None]}, {"entries": [ENTRY | {"review": "healthy"}]},
     {"first": 0}, {"first": "1"}, {"models": [1]}, {"models": None}],
)  # fmt: skip
def test_an_invalid_list_is_rejected(change):
    assert responses.result_page(PAGE).damaged[0].name == "x"
    with pytest.raises(Invalid):
        responses.result_page(PAGE | change)


@pytest.mark.parametrize(
    "change",
    [
        *({"label": "healed"}, {"comment": None}, {"created": "yesterday"}, {"more": 1}, {"prediction": "1" * 32}),
        *({"id": "x"}, {"withdrawn": "yesterday"}),
    ],
)
def test_invalid_feedback_is_rejected(change):
    answer = {"feedback": [FEEDBACK], "damaged": 2}
    assert responses.feedback(answer, "0" * 32) == answer
    with pytest.raises(Invalid):
        responses.feedback({"feedback": [FEEDBACK | change], "damaged": 0}, "0" * 32)


def test_feedback_by_an_api_of_a_later_version_is_not_guessed_at():
    for later in (
        {"feedback": [FEEDBACK | {"retracted": True}], "damaged": 0},
        {"feedback": [FEEDBACK], "damaged": 0, "hidden": 1},
    ):
        with pytest.raises(responses.LaterVersion):
            responses.feedback(later, "0" * 32)


def test_feedback_by_an_api_of_an_earlier_version_is_read_and_has_no_id():
    earlier = {name: value for name, value in FEEDBACK.items() if name not in ("who", "id", "withdrawn")}
    answer = responses.feedback({"feedback": [earlier], "damaged": 0}, "0" * 32)
    assert answer["feedback"] == [earlier | {"who": None, "id": "", "withdrawn": None}]
    nameless = {name: value for name, value in FEEDBACK.items() if name != "who"}
    answer = responses.feedback({"feedback": [nameless], "damaged": 0}, "0" * 32)
    assert answer["feedback"] == [nameless | {"who": None}]
    for broken in ([], {"feedback": None, "damaged": 0}, {"feedback": []}, {"feedback": [], "damaged": -1}):
        with pytest.raises(Invalid):
            responses.feedback(broken, "0" * 32)


@pytest.mark.parametrize(
    "change", [{"number": 0}, {"number": "1"}, {"total": -1}, {"first": "x"}, {"next": 5}, {"previous": "0" * 33}]
)
def test_an_invalid_place_is_rejected(change):
    assert responses.place(PLACE) == PLACE
    with pytest.raises(Invalid):
        responses.place(PLACE | change)


def test_the_list_of_an_api_of_an_earlier_version_is_read_unless_it_had_to_filter():
    earlier = {name: PAGE[name] for name in ("predictions", "damaged", "next", "total")}
    page = responses.result_page(earlier, {"order": "time", "finding": "pneumonia"})
    assert (page.predictions, page.entries, page.first, page.models) == ([FINDING], [None], None, [])
    for chosen in ("q", "refusal", "model", "from", "to", "review"):
        with pytest.raises(Invalid):
            responses.result_page(earlier, {chosen: "x"})
