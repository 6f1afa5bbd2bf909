"""`pneumoctl predict --remote` with the real API and Redis: the same findings, and errors without the API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from model import phantom
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.scoring.api_client import Endpoint
from tests.webapp.servers import TOKEN, Gunicorn, RedisServer, api_environment


@pytest.fixture(scope="module")
def api(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    directory = tmp_path_factory.mktemp("api")
    redis = RedisServer(directory / "redis")
    server = Gunicorn("webapp.api", directory, api_environment(redis.port, tiny_bundle))
    try:
        redis.start()
        server.start()
        yield server
    finally:
        server.stop()
        redis.kill()


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    (tmp_path / "a-ill.png").write_bytes(phantom.png(101, 256, opacity=True))
    (tmp_path / "b-well.png").write_bytes(phantom.png(101, 256))
    (tmp_path / "c-half.png").write_bytes(phantom.png(102, 256)[:5000])
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_stack_finds_what_this_machine_finds(
    api: Gunicorn,
    ward: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pneumoctl.targets.local.api.remote_api", lambda name: Endpoint(api.url, TOKEN))
    assert run(["predict", "--remote", str(ward), "--json", "--jobs", "3"]) == Exit.PARTLY
    remote = answer(capsys)
    assert run(["predict", "--model", str(tiny_bundle), str(ward), "--json"]) == Exit.PARTLY
    local = answer(capsys)
    assert remote["summary"] == local["summary"] and remote["summary"]["pneumonia"] == 1
    for prediction, other in zip(remote["predictions"], local["predictions"], strict=True):
        for key in ("file", "finding", "refusal", "probability", "threshold", "model", "input"):
            assert prediction[key] == other[key]


def test_wrong_token_is_an_error(
    api: Gunicorn, ward: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pneumoctl.targets.local.api.remote_api", lambda name: Endpoint(api.url, "wrong"))
    assert run(["predict", "--remote", str(ward), "--json"]) == Exit.FAILED
    document = answer(capsys)
    assert document["predictions"] == [] and len(document["errors"]) == 3
    assert all("401" in error["message"] for error in document["errors"])


def test_api_that_is_gone_is_an_error_for_every_file(
    ward: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pneumoctl.targets.local.api.remote_api", lambda name: Endpoint("http://127.0.0.1:1", TOKEN))
    assert run(["predict", "--remote", str(ward)]) == Exit.FAILED
    out = capsys.readouterr().out
    assert out.count("ERROR") == 3 and "does not answer" in out and "pneumonia " not in out.splitlines()[1]


def test_resumed_run_takes_only_what_the_stacks_own_model_scored(
    api: Gunicorn, ward: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("pneumoctl.targets.local.api.remote_api", lambda name: Endpoint(api.url, TOKEN))
    record = tmp_path_factory.mktemp("record") / "out.jsonl"
    words = ["predict", "--remote", str(ward / "a-ill.png"), "--json", "--resume", str(record)]
    assert run(words) == Exit.DONE
    (first,) = answer(capsys)["predictions"]
    line = record.read_text()
    assert run(words) == Exit.DONE
    assert answer(capsys)["predictions"] == [first] and record.read_text() == line
    record.write_text(line.replace(first["model"]["version"], "of-a-year-ago"))
    assert run(words) == Exit.DONE
    assert answer(capsys)["predictions"][0]["model"] == first["model"] and len(record.read_text().splitlines()) == 2


def test_the_stack_is_told_the_folder_below_what_was_named_and_nothing_above(
    api: Gunicorn, ward: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pneumoctl.targets.local.api.remote_api", lambda name: Endpoint(api.url, TOKEN))
    film = ward / "ward" / "bed 1" / "IM000001.png"
    film.parent.mkdir(parents=True)
    film.write_bytes(phantom.png(103, 256, opacity=True))
    assert run(["predict", "--remote", str(ward / "ward"), "--json"]) == Exit.DONE
    (prediction,) = answer(capsys)["predictions"]
    assert prediction["file"] == str(film)
    path = f"/v1/predictions/{prediction['id']}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    stored, source = (
        urllib3.request("GET", f"{api.url}{path}{part}", headers=headers).json() for part in ("", "/source")
    )
    assert (stored["file"], source["folder"]) == ("IM000001.png", "ward/bed 1")
