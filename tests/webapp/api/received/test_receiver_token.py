"""The token of the DICOM receiver: enough to send films, and for nothing else."""

import pytest

from tests.webapp.api.received.films import film, related
from webapp import api
from webapp.api.permissions import NEEDED, PUBLIC
from webapp.requests import SESSION_HEADER

TOKEN, PREVIOUS = "of-the-receiver-0123456789", "of-the-receiver-before-01"
SCOPE = "dicom"


def client(config, auth: str = "none"):
    more = {"AUTH": auth, "RECEIVER_TOKEN": TOKEN, "RECEIVER_TOKEN_PREVIOUS": PREVIOUS}
    return api.create_app({**config, **more}).test_client()


@pytest.mark.parametrize("auth", ["none", "users"])
@pytest.mark.parametrize("token", [TOKEN, PREVIOUS])
def test_it_sends_films(config, auth, token):
    body, kind = related(film(1))
    headers = {"Authorization": f"Bearer {token}"}
    answer = client(config, auth).post("/dicomweb/studies", data=body, content_type=kind, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("auth", ["none", "users"])
def test_it_does_nothing_else(config, auth):
    made = client(config, auth)
    headers = {"Authorization": f"Bearer {TOKEN}", SESSION_HEADER: "none"}
    asked = 0
    for rule in made.application.url_map.iter_rules():
        if rule.endpoint == "static" or NEEDED.get(rule.endpoint) in (PUBLIC, SCOPE):
            continue
        path = rule.rule.replace("<identifier:identifier>", "0" * 32).replace("<identifier:review>", "0" * 32)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            answer = made.open(path.replace("<name>", "image.png"), method=method, headers=headers)
            assert answer.status_code == 403, (method, rule.rule)
            asked += 1
    assert asked > 30


def test_without_such_a_token_nobody_has_it(config):
    made = api.create_app({**config, "RECEIVER_TOKEN": "", "RECEIVER_TOKEN_PREVIOUS": ""}).test_client()
    for token in ("", TOKEN):
        assert made.post("/dicomweb/studies", headers={"Authorization": f"Bearer {token}"}).status_code == 401
