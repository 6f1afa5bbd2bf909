"""A film outside the intended use: a setting decides, and what its header says about the patient is kept nowhere."""

import json
import logging

import pytest

from tests.ages import states_adult
from tests.webapp.conftest import Caller
from webapp import api


@pytest.fixture
def callers(config, bundle_of_children):
    """APIs with a model of children: one that refuses what is outside its use, and one that scores it."""
    made = {
        use: Caller(api.create_app({**config, "MODEL_BUNDLE": bundle_of_children, "OUTSIDE_USE": use}).test_client())
        for use in ("refuse", "score")
    }
    return made | {"default": Caller(api.create_app({**config, "MODEL_BUNDLE": bundle_of_children}).test_client())}


def test_a_setting_decides_about_a_film_outside_the_intended_use(callers, adult_film, caplog):
    (refused,) = callers["default"].sent((adult_film, "a.dcm"))
    assert refused["refusal"]["code"] == "outside_intended_use" and refused["finding"] is None
    assert callers["refuse"].sent((adult_film, "a.dcm")) == [refused]
    (scored,) = callers["score"].sent((adult_film, "a.dcm"))  # another record: the refusal is not repeated
    assert scored["finding"] and [each["code"] for each in scored["cautions"]] == ["age_outside", "view_ap"]
    assert callers["refuse"].sent((adult_film, "a.dcm")) == [refused]
    for use, caller in callers.items():
        assert caller.client.get("/readyz").get_json()["checks"]["model"]["outside_use"] == use.replace(
            "default", "refuse"
        )


def test_the_age_of_a_patient_is_nowhere(callers, adult_film, redis_server, caplog):
    caplog.set_level(logging.DEBUG)
    for caller in callers.values():
        (document,) = caller.sent((adult_film, "a.dcm"))
        for text in (json.dumps(document), caller.client.get("/metrics").get_data(as_text=True)):
            assert not states_adult(text)
    assert not any(states_adult(record.getMessage()) for record in caplog.records)
    client = redis_server.client()
    records = [client.get(key).decode("latin-1") for key in client.scan_iter("pneumo:1:record:*")]
    assert len(records) == 2 and not any(map(states_adult, records))


def test_a_picture_that_states_no_age_is_scored_with_a_caution(callers, clear_picture):
    for caller in callers.values():
        (document,) = caller.sent((clear_picture, "a.png"))
        assert document["finding"] and [each["code"] for each in document["cautions"]] == ["age_unknown"]
