"""Liveness, readiness and metrics."""

import io
import os
import subprocess
import sys
import threading
from typing import get_args

import pytest

from model.serving.predict import Classifier
from model.serving.prediction import RefusalCode
from tests.webapp.conftest import Caller
from webapp import api
from webapp.api.classifier import Scorer
from webapp.api.health import CachedCheck
from webapp.api.metrics import BINS
from webapp.requests import PROBE_HEADER


def checks(caller: Caller, status: int) -> dict:
    """The readiness checks, requested without a token."""
    answer = caller.client.get("/readyz")
    assert answer.status_code == status, answer.data
    assert answer.get_json()["status"] == ("ready" if status == 200 else "not ready")
    return answer.get_json()["checks"]


def test_liveness_does_not_depend_on_redis(config):
    caller = Caller(api.create_app({**config, "REDIS_PORT": 1}).test_client())
    assert caller.client.get("/livez").get_json() == {"status": "alive"}


def test_readiness_lists_each_check_and_the_model(caller):
    rows = checks(caller, 200)
    assert set(rows) == {"store", "clock", "received", "known_picture", "model"}
    assert all(row["ok"] and row["fault"] is None for row in rows.values())
    assert len(rows["model"]["version"]) == 12


def test_not_ready_without_redis_and_ready_when_it_returns(own_redis, config, monkeypatch):
    monkeypatch.setattr("webapp.api.health._STORE_SECONDS", 0.0)
    caller = Caller(api.create_app({**config, "REDIS_PORT": own_redis.port}).test_client())
    checks(caller, 200)
    own_redis.kill()
    rows = checks(caller, 503)
    assert not rows["store"]["ok"]
    assert rows["store"]["fault"] == "Redis cannot be reached"
    assert rows["known_picture"]["ok"]
    own_redis.start()
    checks(caller, 200)


@pytest.mark.parametrize("measured", [0.5, float("nan")])
def test_not_ready_when_the_score_of_the_known_picture_changed(caller, monkeypatch, measured):
    monkeypatch.setattr(Scorer, "self_check", lambda _: (measured, 0.9, 0.01))
    rows = checks(caller, 503)
    assert "known picture" in rows["known_picture"]["fault"]
    assert rows["store"]["ok"]


def test_not_ready_when_the_model_fails(caller, monkeypatch):
    def fail(_):
        raise ArithmeticError("the network gave no number")

    monkeypatch.setattr(Scorer, "self_check", fail)
    assert "no number" in checks(caller, 503)["known_picture"]["fault"]


def test_concurrent_polls_run_one_check():
    ran, free = [], threading.Event()

    def run() -> None:
        ran.append(1)
        free.wait(60)

    check = CachedCheck(60.0, run)
    pollers = [threading.Thread(target=check.fault) for _ in range(8)]
    for poller in pollers:
        poller.start()
    free.set()
    for poller in pollers:
        poller.join()
    assert check.fault() is None
    assert len(ran) == 1


def test_metrics_count_outcomes_and_name_neither_files_nor_ids(caller, clear_picture, opaque_picture):
    documents = caller.sent((clear_picture, "secretname.png"), (opaque_picture, "b.png"), (b"x", "c.png"))
    caller.get(f"/v1/predictions/{documents[0]['id']}")
    caller.get("/v1/../../secretpath")
    text = caller.client.get("/metrics").get_data(as_text=True)
    version = documents[0]["model"]["version"]
    for outcome in ("pneumonia", "no pneumonia", "refused"):
        assert f'pneumo_predictions_total{{model="{version}",outcome="{outcome}"}} 1.0' in text
    assert 'pneumo_request_seconds_count{method="POST",route="/v1/predictions",status="201"} 1.0' in text
    assert 'route="/v1/predictions/<identifier:identifier>"' in text
    for stage in ("wait", "score", "store"):
        assert f'pneumo_stage_seconds_count{{stage="{stage}"}} 3.0' in text
    for secret in ("secretname", "secretpath", *(document["id"] for document in documents)):
        assert secret not in text


def test_metrics_count_probabilities_refusals_and_reviews_by_model(caller, clear_picture, opaque_picture):
    clear, opaque, broken = caller.sent((clear_picture, "a.png"), (opaque_picture, "b.png"), (b"x", "c.png"))
    caller.client.post("/v1/predictions", data=form(opaque_picture), headers={**caller.headers, PROBE_HEADER: "1"})
    for document, label in ((clear, "no pneumonia"), (clear, "pneumonia"), (opaque, "unsure"), (broken, "pneumonia")):
        path = f"/v1/predictions/{document['id']}/feedback"
        assert caller.client.post(path, json={"label": label}, headers=caller.headers).status_code == 201
    text = caller.client.get("/metrics").get_data(as_text=True)
    model = f'model="{clear["model"]["version"]}"'
    counted = {line for line in text.splitlines() if line.startswith(("pneumo_scores_t", "pneumo_ref", "pneumo_rev"))}
    bins = [f"{int(each['probability'] * 10) / 10:.1f}" for each in (clear, opaque)]
    assert len(set(bins)) == 2
    assert {line for line in counted if "_created" not in line and not line.endswith(" 0.0")} == {
        *(f'pneumo_scores_total{{bin="{each}",{model}}} 1.0' for each in bins),
        f'pneumo_refusals_total{{code="unreadable",{model}}} 1.0',
        *(f'pneumo_reviews_total{{{model},says="{says}"}} 1.0' for says in ("agrees", "contradicts", "unsure")),
    }


def test_what_is_counted_of_the_served_model_begins_at_zero(caller):
    """Prometheus counts by how much a series rises, so the first film of a tenth would not be counted."""
    text = caller.client.get("/metrics").get_data(as_text=True)
    for name, label, values in (
        ("scores", "bin", BINS),
        ("refusals", "code", get_args(RefusalCode)),
        ("reviews", "says", ("agrees", "contradicts", "unsure")),
    ):
        lines = [line for line in text.splitlines() if line.startswith(f"pneumo_{name}_total{{")]
        assert len(lines) == len(values) and all(line.endswith(" 0.0") for line in lines)
        assert all(any(f'{label}="{value}"' in line for line in lines) for value in values)


def test_the_scores_that_a_bundle_states_are_what_drift_is_measured_against(config, bundle_with_scores):
    app = api.create_app({**config, "MODEL_BUNDLE": str(bundle_with_scores)})
    text = app.test_client().get("/metrics").get_data(as_text=True)
    stated = [line.split() for line in text.splitlines() if line.startswith("pneumo_validation_scores_ratio{")]
    assert len(stated) == 10 and sum(float(share) for _, share in stated) == pytest.approx(1)
    (last,) = (float(share) for name, share in stated if 'bin="0.9"' in name)
    assert last == pytest.approx(100.5 / 205)


@pytest.mark.parametrize(
    "stated", [None, [], [0] * 10, [50] * 9, [19] * 10, [50.5] * 10, [-50] * 10, [True] * 10, "1111111111"]
)
def test_a_bundle_that_does_not_state_its_scores_has_no_figure_of_drift(config, monkeypatch, stated):
    opened = Classifier.open

    def without(*arguments):
        classifier = opened(*arguments)
        classifier.bundle.manifest["metrics"] = {"validation": stated and {"score_bins": stated}, "test": None}
        return classifier

    monkeypatch.setattr(Classifier, "open", without)
    assert "pneumo_validation_scores_ratio" not in api.create_app(config).test_client().get("/metrics").text


def form(picture: bytes) -> dict:
    """An upload that a probe sends."""
    return {"file": (io.BytesIO(picture), "probe.png")}


def test_metrics_run_the_checks_and_counts_start_at_zero(caller):
    def count(check: str, outcome: str) -> str:
        lines = caller.client.get("/metrics").get_data(as_text=True).splitlines()
        (line,) = (
            line for line in lines if line.startswith(f'pneumo_checks_total{{check="{check}",outcome="{outcome}"}}')
        )
        return line.split()[-1]

    assert (count("store", "ok"), count("store", "fault"), count("known_picture", "fault")) == ("1.0", "0.0", "0.0")


def test_a_failed_check_is_counted(config, monkeypatch):
    monkeypatch.setattr(Scorer, "self_check", lambda self: (0.9, 0.5, 0.01))
    text = api.create_app(config).test_client().get("/metrics").get_data(as_text=True)
    assert 'pneumo_checks_total{check="known_picture",outcome="fault"} 1.0' in text


def test_metrics_of_several_workers_are_summed(tmp_path):
    """Two processes that share a directory, as gunicorn's workers do."""
    program = (
        "from webapp.api.metrics import Metrics\n"
        "metrics = Metrics()\n"
        "metrics.file_finished('refused', 'v')\n"
        "print(metrics.requests.text().decode())\n"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    for total in ("1.0", "2.0"):
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert f'pneumo_predictions_total{{model="v",outcome="refused"}} {total}' in ran.stdout
