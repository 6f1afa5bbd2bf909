"""Records that version 0.2 stored: they are shown with a caution, and their pictures can be scored again."""

import hashlib

from model.serving.prediction import checked_prediction
from tests.webapp.api.records import put, record
from webapp.api.storage.records import Record

ADDED = ("cautions", "operating_point")


def test_a_record_of_an_earlier_version_says_that_nobody_looked_for_cautions(store):
    for number, probability, codes in ((1, 0.75, ["not_checked"]), (2, None, [])):
        new = record(number, probability)
        old = {key: value for key, value in new.prediction.items() if key not in ADDED}
        put(store, Record(old, new.image))
        read = store.get(new.id).prediction
        assert [each["code"] for each in read["cautions"]] == codes
        assert checked_prediction(read)["operating_point"] is None
        assert {key: value for key, value in read.items() if key not in ADDED} == old
    assert len(store.lists.page("time", "all", None, 10).records) == 2


def test_a_picture_that_an_earlier_version_scored_is_scored_again(store, caller, clear_picture):
    (document,) = caller.sent((clear_picture, "of another name.png"))
    parts = (hashlib.sha256(clear_picture).hexdigest(), "a.png", document["model"]["version"])
    identifier = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]  # as version 0.2 made it
    old = {key: value for key, value in document.items() if key not in ADDED} | {"id": identifier, "file": "a.png"}
    put(store, Record(old, None))
    (again,) = caller.sent((clear_picture, "a.png"))
    assert [each["code"] for each in again["cautions"]] == ["training_ages_unknown"]
    assert caller.sent((clear_picture, "a.png")) == [again]
    kept = caller.get(f"/v1/predictions/{identifier}").get_json()
    assert [each["code"] for each in kept["cautions"]] == ["not_checked"]
