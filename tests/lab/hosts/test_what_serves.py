"""The last proof is about the model that the hosts run; what fails it does not go on serving."""

import time
from pathlib import Path

from tests.lab.first_up import FirstUp
from tests.lab.hosts import releases
from tests.lab.stack_operator import Operator

# Passes the checks on its host, which ask for pages: only the proof uploads a picture.
REFUSES_UPLOADS = """    from flask import request

    pages.before_request(lambda: ("broken by a test", 500) if request.method == "POST" else None)
"""


def test_another_model_than_the_promoted_one_is_proven_and_rolled_back(
    first_up: FirstUp, operator: Operator, tiny_bundle: Path
) -> None:
    """Another network: its known picture has another score."""
    deployed = operator.run("deploy", "model", "-y", "--bundle", str(tiny_bundle)).stdout
    assert "tiny-linear" in deployed and "serves, not the promoted model dag-kermany" in deployed

    again = operator.json("configure", "-y")
    assert again["changed"] == [] and again["prediction"]["model"]["name"] == "tiny-linear"

    back = operator.json("rollback", "model", "-y")
    assert back["prediction"]["model"]["name"] == "dag-kermany"


def test_a_page_that_fails_the_proof_is_taken_back(first_up: FirstUp, operator: Operator, tmp_path: Path) -> None:
    before = releases.running_releases(operator.lab, "web-0")
    source = releases.checkout(tmp_path / "source", "web", REFUSES_UPLOADS, str(time.time_ns()))

    failed = operator.run("deploy", "web", "-y", "--source", str(source), code=10).stderr

    # 500, or nginx's 502: the page closes the connection of an upload that it did not read
    assert "/predictions answered 50" in failed, failed
    assert f"web-0 serves web {before['code']} again" in failed, failed
    assert "the test prediction passes with these releases" in failed, failed
    assert releases.running_releases(operator.lab, "web-0") == before
    assert operator.json("configure", "-y")["changed"] == []
