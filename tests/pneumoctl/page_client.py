"""A client of the web page of a local stack: upload a picture, read a stored prediction."""

import urllib3

from model import phantom
from tests.pneumoctl.conftest import Operator


def post(operator: Operator, name: str, seed: int) -> dict:
    """Upload one drawing through the web page's route; its prediction document."""
    url = operator.json("status")["url"]
    fields = {"file": (name, phantom.png(seed, 192, False), "image/png")}
    answer = urllib3.request("POST", f"{url}/predictions", fields=fields, headers={"Accept": "application/json"})
    assert answer.status == 201, answer.data
    return answer.json()["predictions"][0]


def stored(operator: Operator, identity: str) -> dict:
    url = operator.json("status")["url"]
    answer = urllib3.request("GET", f"{url}/predictions/{identity}", headers={"Accept": "application/json"})
    logged = "" if answer.status == 200 else operator.run("logs", "-n", "80").stdout
    assert answer.status == 200, f"{answer.data.decode()}\n{logged}"
    return answer.json()
