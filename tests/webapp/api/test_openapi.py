"""The published description: every route, and real answers fit it."""

import json
import re

import pytest
from jsonschema import Draft202012Validator

from tests.webapp.conftest import Caller
from webapp import api
from webapp.api.classifier import Scorer
from webapp.api.views import OPENAPI

DOCUMENT = json.loads(OPENAPI.read_text())


def check(answer, path: str, method: str = "get") -> None:
    """The answer's status and media type are described, and its document fits the schema."""
    described = DOCUMENT["paths"][path][method]["responses"]
    assert str(answer.status_code) in described, answer.data
    content = described[str(answer.status_code)]["content"]
    assert answer.mimetype in content
    if "schema" in content[answer.mimetype]:
        schema = {**content[answer.mimetype]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer.get_json())


def test_it_is_served_to_everybody(caller):
    answer = caller.client.get("/v1/openapi.json")
    assert answer.get_json() == DOCUMENT
    check(answer, "/v1/openapi.json")


def test_every_route_is_described_and_every_description_is_a_route(config):
    app = api.create_app(config)
    routes = {
        (re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    assert routes == described


def test_the_schemas_are_schemas():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_real_answers_fit(caller, clear_picture, opaque_picture, redis_server):
    path, one = "/v1/predictions", "/v1/predictions/{identifier}"
    sent = caller.send((clear_picture, "a.png"), (opaque_picture, "b.png"), (b"x", "c.png"))
    check(sent, path, "post")
    first, hurt, refused = sent.get_json()["predictions"]
    check(caller.send(), path, "post")
    check(caller.get(path), path)
    check(caller.get(f"{path}?cursor=x"), path)
    check(caller.client.get(path), path)
    for document in (first, refused):
        check(caller.get(f"{path}/{document['id']}"), one)
        check(caller.get(f"{path}/{document['id']}/image.png"), f"{one}/image.png")
        check(caller.get(f"{path}/{document['id']}/heatmap.png"), f"{one}/heatmap.png")
    said = {"label": "unsure", "comment": "dark"}
    address = f"{path}/{first['id']}/feedback"
    check(caller.client.post(address, json=said, headers=caller.headers), f"{one}/feedback", "post")
    check(caller.client.post(address, json={}, headers=caller.headers), f"{one}/feedback", "post")
    check(caller.get(address), f"{one}/feedback")
    for open_to_all in ("/livez", "/readyz", "/metrics"):
        check(caller.client.get(open_to_all), open_to_all)
    redis_server.client().append(f"pneumo:1:record:{hurt['id']}", b"x")
    check(caller.get(path), path)
    check(caller.get(f"{path}/{hurt['id']}"), one)


def test_answers_in_trouble_fit(config, clear_picture, monkeypatch):
    caller = Caller(api.create_app({**config, "REDIS_PORT": 1}).test_client())
    check(caller.get("/readyz"), "/readyz")
    check(caller.get("/v1/predictions"), "/v1/predictions")
    check(caller.send((clear_picture, "a.png")), "/v1/predictions", "post")
    caller = Caller(api.create_app(config).test_client())
    whole = Scorer.score

    def score(self, content, file):
        if file == "bad.png":
            raise ArithmeticError
        return whole(self, content, file)

    monkeypatch.setattr(Scorer, "score", score)
    check(caller.send((clear_picture, "a.png"), (clear_picture, "bad.png")), "/v1/predictions", "post")


@pytest.mark.parametrize(
    "change",
    [
        {"finding": None},
        {"finding": "healthy"},
        {"refusal": {"code": "unreadable", "reason": "r"}},
        {"probability": None},
        {"probability": 1.2},
        {"more": 1},
    ],
)
def test_the_schema_of_a_prediction_is_strict(caller, clear_picture, change):
    (document,) = caller.sent((clear_picture, "a.png"))
    schema = {**DOCUMENT["components"]["schemas"]["Prediction"], "components": DOCUMENT["components"]}
    assert Draft202012Validator(schema).is_valid(document)
    assert not Draft202012Validator(schema).is_valid(document | change)
