"""A client of the web page of a local stack: upload a picture, read stored predictions."""

import urllib3

from model import phantom
from tests.pneumoctl.conftest import Operator

JSON = {"Accept": "application/json"}


def post(operator: Operator, name: str, seed: int) -> dict:
    """Upload one drawing through the web page's route; its prediction document."""
    fields = {"file": (name, phantom.png(seed, 192, False), "image/png")}
    answer = urllib3.request("POST", f"{operator.url}/predictions", fields=fields, headers=JSON)
    assert answer.status == 201, answer.data
    return answer.json()["predictions"][0]


def stored(operator: Operator, identity: str) -> dict:
    answer = urllib3.request("GET", f"{operator.url}/predictions/{identity}", headers=JSON)
    logged = "" if answer.status == 200 else operator.run("logs", "-n", "80").stdout
    assert answer.status == 200, f"{answer.data.decode()}\n{logged}"
    return answer.json()


def listed(operator: Operator) -> list[dict]:
    document = urllib3.request("GET", f"{operator.url}/predictions", headers=JSON).json()
    assert document["total"] == len(document["predictions"])
    return document["predictions"]
