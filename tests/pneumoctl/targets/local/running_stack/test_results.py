"""The secrets and the results of a running local stack: protected, exported, and not lost by a teardown."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis

from pneumoctl.errors import Exit
from pneumoctl.stack.secrets import Secrets
from pneumoctl.targets.local import processes
from tests.pneumoctl.conftest import Operator
from tests.pneumoctl.page_client import post, stored
from tests.pneumoctl.stored_results import as_api, damage
from tests.pneumoctl.targets.local.running_stack.hostile_settings import ODD


def test_results_whose_key_is_missing_stop_a_teardown(operator: Operator) -> None:
    key = operator.directory / "env" / "api.env"
    saved = key.rename(operator.state / "api.env")
    assert "results are stored" in operator.json("teardown", "-y", code=Exit.FAILED)["error"]["message"]
    assert operator.status_document()["serving"]
    saved.replace(key)


def test_no_secret_is_in_any_argv_log_or_world_readable_file(operator: Operator) -> None:
    post(operator, "private name.png", 102)
    secrets = Secrets(**json.loads((operator.directory / "secrets.json").read_text())).values()
    assert len(secrets) == 8
    argvs = [" ".join(process.cmdline()) for process in processes.ours(operator.directory)]
    logs = [file.read_text() for file in (operator.directory / "logs").iterdir()]
    assert len(argvs) >= 5 and logs
    assert not [secret for secret in secrets for text in (*argvs, *logs) if secret in text]
    assert not [text for text in logs if "private name" in text]
    files = [file for file in operator.directory.rglob("*") if file.is_file() and not file.is_symlink()]
    holding = [file for file in files if any(secret.encode() in file.read_bytes() for secret in secrets)]
    assert {file.name for file in holding} == {"secrets.json", "api.env", "ui.env"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in holding)
    assert operator.directory.stat().st_mode & 0o077 == 0


def test_redis_requires_the_password(operator: Operator) -> None:
    port = operator.stack.inventory().port("redis")
    for who in ({}, {"username": "default", "password": "x"}, {"username": "api", "password": "x"}):
        with redis.Redis(port=port, **who) as client, pytest.raises(redis.RedisError):
            client.get("pneumo:x")
    with as_api(operator) as api:
        for forbidden in (["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["GET", "other:key"], ["SHUTDOWN"]):
            with pytest.raises(redis.ResponseError):
                api.execute_command(*forbidden)


def test_results_are_exported_and_imported_while_the_stack_serves(operator: Operator, tmp_path: Path) -> None:
    posted, target = post(operator, "patient.png", 104), str(tmp_path / "out.tar")
    exported = operator.json("results", "export", target)
    assert exported["path"] == target and exported["results"] == exported["pictures"] > 0 == exported["damaged"]
    with as_api(operator) as client:
        damage(client, posted["id"])
    assert operator.json("results", "export", target + "2", code=Exit.PARTLY)["damaged"] == 1
    assert operator.json("results", "import", target, "-y")["repaired"] == 1
    assert operator.json("results", "import", target, "-y")["present"] == exported["results"]
    cancelled = operator.json("results", "import", target, code=Exit.FAILED)["error"]["message"]
    assert cancelled.startswith("cancelled: nothing was imported; it would add ") and "result" in cancelled
    assert stored(operator, posted["id"]) == posted
    report = tmp_path / "all.csv"
    told = operator.json("results", "report", str(report))
    assert told["results"] == exported["results"] and report.read_text().count("\n") == told["results"] + 1
    none = operator.json("results", "report", str(tmp_path / "none.csv"), "--search", "nowhere", "--finding", "refused")
    assert none["results"] == 0 and (tmp_path / "none.csv").read_text().count("\n") == 1
    pages = operator.json("results", "report", str(tmp_path / "all.pdf"), "--search", "patient")
    assert pages["results"] > 0 == pages["damaged"] and (tmp_path / "all.pdf").read_bytes().startswith(b"%PDF")
    wrong = operator.json("results", "report", str(tmp_path / "x.csv"), "--review", "healed", code=Exit.USAGE)
    assert (
        "review must be one of" in wrong["error"]["message"]
        and "--help" in wrong["error"]["hint"]
        and not (tmp_path / "x.csv").exists()
    )
    assert "exists already" in operator.json("results", "report", str(report), code=Exit.USAGE)["error"]["message"]
    lost = operator.json("results", "report", str(tmp_path / "no" / "x.csv"), code=Exit.USAGE)["error"]["message"]
    assert lost == f"there is no folder {tmp_path / 'no'}"
    empty = operator.json("results", "report", str(tmp_path / "none.pdf"), "--search", "nowhere")
    assert (empty["results"], empty["path"]) == (0, str(tmp_path / "none.pdf"))
    assert "the path is empty" in operator.json("results", "export", "", code=Exit.USAGE)["error"]["message"]
    assert "another kind" in operator.json("results", "export", "x.tar.gz", code=Exit.USAGE)["error"]["message"]
    acts = [act for act in operator.json("audit")["acts"] if act["command"].startswith("results ")]
    assert [(act["command"].split()[1], act["code"]) for act in acts] == [
        ("export", 0), ("export", Exit.PARTLY), ("import", 0), ("import", 0), *[("report", 0)] * 3,
        ("report", Exit.USAGE), ("report", 0),
    ]  # fmt: skip
    assert not any(word in json.dumps(acts) for word in ("patient", posted["id"], str(tmp_path)))


def test_a_result_is_erased_while_the_stack_serves(operator: Operator) -> None:
    kept, gone = post(operator, "kept.png", 105), post(operator, "gone.png", 106)
    assert operator.json("results", "erase", gone["id"], "-y")["erased"] == [gone["id"]]
    with as_api(operator) as client:
        assert [key for key in client.scan_iter("pneumo:*") if gone["id"].encode() in key] == []
    with pytest.raises(AssertionError, match="404"):
        stored(operator, gone["id"])
    assert stored(operator, kept["id"]) == kept


def test_a_teardown_whose_export_cannot_be_written_stops_nothing(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    operator.environment["XDG_DATA_HOME"] = str(tmp_path / "file")
    before = operator.status_document()["services"]
    error = operator.json("teardown", "-y", code=Exit.FAILED)["error"]
    assert "were not exported, so nothing was removed" in error["message"] and "are needed" in error["message"]
    assert "XDG_DATA_HOME" in error["hint"] and "--purge" in error["hint"]
    assert [service["pid"] for service in operator.status_document()["services"]] == [each["pid"] for each in before]


def test_a_teardown_that_is_told_to_end_leaves_the_stack_serving(operator: Operator) -> None:
    journal = operator.directory / "journal.jsonl"
    before, exports = journal.read_text(), exported(operator)
    pids = {service["name"]: service["pid"] for service in operator.status_document()["services"]}
    page = psutil.Process(pids["ui"])
    page.suspend()  # it does not end before the teardown has got its signal
    child = operator.start("teardown", "-y")
    try:
        wait_for(lambda: '"Stop the page"' in journal.read_text().removeprefix(before) or child.poll() is not None)
        child.send_signal(signal.SIGTERM)
    finally:
        page.resume()
    _, stderr = child.communicate(timeout=300)
    assert child.returncode == 128 + signal.SIGTERM, stderr
    wait_for(lambda: operator.status_document()["serving"])
    assert exported(operator) == exports


def exported(operator: Operator) -> set[Path]:
    return set(operator.data.glob("pneumoctl/exports/*"))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_damaged_result_stops_a_teardown_and_a_folder_with_special_characters_is_removed(
    operator: Operator,
) -> None:
    assert (operator.directory / "logs" / "redis.log").exists() and ODD in str(operator.directory)
    posted = post(operator, "kept.png", 100)
    with as_api(operator) as client:
        picture, whole = damage(client, posted["id"])
        try:
            error = operator.json("teardown", "-y", code=Exit.PARTLY)["error"]
        finally:
            client.set(picture, whole)
    assert "the results were not all exported, so nothing was removed: 1 records, pictures" in error["message"]
    assert "--purge" in error["hint"]
    wait_for(lambda: operator.status_document()["serving"])
    assert operator.json("teardown", "-y")["left"] == []
    assert not operator.directory.exists()
