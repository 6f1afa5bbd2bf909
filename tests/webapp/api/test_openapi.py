"""The OpenAPI document describes every route, and real responses match it."""

import re

import pytest
from jsonschema import Draft202012Validator

from model.schema import Invalid, checked
from tests.predictions import BROKEN, VALID
from tests.webapp.conftest import Caller
from webapp import api, documents
from webapp.api import intake, list_parameters, openapi
from webapp.api.classifier import Scorer
from webapp.api.storage import listing
from webapp.api.storage.records import STUDY

DOCUMENT = openapi.document()
PREDICTION = {"$ref": "#/components/schemas/Prediction", "components": DOCUMENT["components"]}


def check(answer, path: str, method: str = "get") -> None:
    """The response's status and media type are described, and its document matches the schema."""
    described = DOCUMENT["paths"][path][method]["responses"]
    assert str(answer.status_code) in described, answer.data
    response = described[str(answer.status_code)]
    shared = DOCUMENT["components"]["responses"]
    content = (shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response)["content"]
    assert answer.mimetype in content
    if "schema" in content[answer.mimetype]:
        schema = {**content[answer.mimetype]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer.get_json())


def test_the_document_is_served_without_a_token(caller):
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


def test_the_schemas_are_valid():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_real_responses_match_the_schemas(caller, clear_picture, opaque_picture, redis_server):
    path, item_path = "/v1/predictions", "/v1/predictions/{identifier}"
    sent = caller.send((clear_picture, "a.png"), (opaque_picture, "b.png"), (b"x", "c.png"))
    check(sent, path, "post")
    first, hurt, refused = sent.get_json()["predictions"]
    check(caller.send(), path, "post")
    check(caller.get(path), path)
    check(caller.get(f"{path}?cursor=x"), path)
    check(caller.client.get(path), path)
    for document in (first, refused):
        check(caller.get(f"{path}/{document['id']}"), item_path)
        check(caller.get(f"{path}/{document['id']}/image.png"), f"{item_path}/image.png")
        check(caller.get(f"{path}/{document['id']}/thumbnail.png"), f"{item_path}/thumbnail.png")
        check(caller.get(f"{path}/{document['id']}/place?finding=refused"), f"{item_path}/place")
        check(caller.get(f"{path}/{document['id']}/place?finding=no"), f"{item_path}/place")
        check(caller.get(f"{path}/{document['id']}/heatmap.png"), f"{item_path}/heatmap.png")
        check(caller.get(f"{path}/{document['id']}/pictures"), f"{item_path}/pictures")
        check(caller.get(f"{path}/{document['id']}/source"), f"{item_path}/source")
    feedback = {"label": "unsure", "comment": "dark"}
    address = f"{path}/{first['id']}/feedback"
    check(caller.client.post(address, json=feedback, headers=caller.headers), f"{item_path}/feedback", "post")
    check(caller.client.post(address, json={}, headers=caller.headers), f"{item_path}/feedback", "post")
    review = caller.get(address).get_json()["feedback"][0]["id"]
    withdrawal = f"{item_path}/feedback/{{review}}/withdrawal"
    for known in (review, "0" * 32):
        check(caller.client.post(f"{address}/{known}/withdrawal", headers=caller.headers), withdrawal, "post")
    check(caller.get(address), f"{item_path}/feedback")
    check(caller.get(f"{path}?review=reviewed&q=A&from=2026-01-01"), path)
    check(caller.get(f"{path}?study=ABCDEFGHIJKL"), path)
    check(caller.get(f"{path}?study=1.2.3"), path)
    for open_to_all in ("/livez", "/readyz", "/metrics"):
        check(caller.client.get(open_to_all), open_to_all)
    for _ in range(2):
        erased = caller.client.delete(f"{path}/{first['id']}", headers=caller.headers)
        assert (erased.status_code, erased.data) == (204, b"")
        assert str(erased.status_code) in DOCUMENT["paths"][item_path]["delete"]["responses"]
    check(caller.client.delete(f"{path}/{'0' * 32}", headers=caller.headers), item_path, "delete")
    redis_server.client().append(f"pneumo:1:record:{hurt['id']}", b"x")
    check(caller.get(path), path)
    check(caller.get(f"{path}/{hurt['id']}"), item_path)


def test_error_responses_match_the_schemas(config, clear_picture, monkeypatch):
    caller = Caller(api.create_app({**config, "REDIS_PORT": 1}).test_client())
    check(caller.get("/readyz"), "/readyz")
    check(caller.get("/v1/predictions"), "/v1/predictions")
    check(caller.send((clear_picture, "a.png")), "/v1/predictions", "post")
    caller = Caller(api.create_app(config).test_client())
    whole = Scorer.score

    def score(self, content, file, film_bytes=0):
        if file == "bad.png":
            raise ArithmeticError
        return whole(self, content, file, film_bytes)

    monkeypatch.setattr(Scorer, "score", score)
    check(caller.send((clear_picture, "a.png"), (clear_picture, "bad.png")), "/v1/predictions", "post")


@pytest.mark.parametrize("name", VALID)
def test_the_published_schema_accepts_valid_predictions(name):
    Draft202012Validator(PREDICTION).validate(VALID[name])


# Python's regular expressions let a line break pass before the end; dates are not checked without another package.
@pytest.mark.parametrize("name", [name for name in BROKEN if not name.startswith(("created ", "id with line break"))])
def test_the_published_schema_rejects_invalid_predictions(name):
    assert not Draft202012Validator(PREDICTION).is_valid(BROKEN[name])


def test_the_published_schema_accepts_only_names_as_the_api_cleans_them(caller, clear_picture):
    (document,) = caller.sent((clear_picture, "x" * 300 + ".png"))
    assert Draft202012Validator(PREDICTION).is_valid(document)
    assert not Draft202012Validator(PREDICTION).is_valid(document | {"file": "x" * 121})


@pytest.mark.parametrize("kind", ["schemas", "responses", "parameters"])
def test_every_reference_resolves_and_every_component_is_used(kind):
    assert set(re.findall(rf"'#/components/{kind}/(\w+)'", str(DOCUMENT))) == set(DOCUMENT["components"][kind])


def test_the_described_limits_are_those_of_the_code():
    post, get = (DOCUMENT["paths"]["/v1/predictions"][method] for method in ("post", "get"))
    files = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["file"]
    place = DOCUMENT["paths"]["/v1/predictions/{identifier}/place"]["get"]
    parameters = {name: each["schema"] for name, each in DOCUMENT["components"]["parameters"].items()}
    assert files["maxItems"] == intake.MAX_FILES
    for name, allowed in (
        ("order", listing.ORDERS),
        ("finding", listing.FILTERS),
        ("refusal", list_parameters.REFUSALS),
        ("review", listing.REVIEWS),
    ):
        assert tuple(parameters[name]["enum"]) == allowed
    assert parameters["q"]["maxLength"] == list_parameters.MAX_TEXT
    assert re.compile(parameters["study"]["pattern"][1:-1]) == STUDY
    assert parameters["model"]["maxLength"] == list_parameters.MAX_VERSION
    shared = [{"$ref": f"#/components/parameters/{name}"} for name in parameters]
    assert place["parameters"] == shared == [each for each in get["parameters"] if "$ref" in each]


def test_types_and_published_schemas_agree(caller, clear_picture):
    """The page checks by type, other clients by schema: a real document with any field dropped fails both."""
    created = caller.send((clear_picture, "a.png")).get_json()
    page = caller.get("/v1/predictions").get_json()
    ready = caller.client.get("/readyz").get_json()
    problem = caller.client.get("/v1/predictions").get_json()
    place = caller.get(f"/v1/predictions/{created['predictions'][0]['id']}/place").get_json()
    source = caller.get(f"/v1/predictions/{created['predictions'][0]['id']}/source").get_json()
    documents_by_name = {
        "Created": created,
        "Source": source,
        "Page": page,
        "Place": place,
        "Readiness": ready,
        "Problem": problem,
    }
    for name, document in documents_by_name.items():
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})
        hint = getattr(documents, name)
        assert checked(document, hint) == document and validator.is_valid(document)
        for field in document:
            less = {key: value for key, value in document.items() if key != field}
            assert not validator.is_valid(less)
            with pytest.raises(Invalid):
                checked(less, hint)
