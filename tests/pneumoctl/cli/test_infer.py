"""`pneumoctl infer` with the real API and Redis: each picture is posted once, compared with its label, and resumed."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from model import phantom
from model.evaluation.metrics import evaluate
from pneumoctl.cli.main import run
from pneumoctl.errors import Exit
from pneumoctl.stack import audit, stack
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Ports
from tests.pneumoctl.sshd import User, on_loopback
from tests.webapp.servers import MAC_KEY, TOKEN, Gunicorn, RedisServer, api_environment
from webapp.api.storage.keys import TRAIL

ILL, WELL = range(100, 112), range(112, 118)


@pytest.fixture(scope="module")
def api(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    directory = tmp_path_factory.mktemp("api")
    redis = RedisServer(directory / "redis")
    server = Gunicorn("webapp.api", directory, api_environment(redis.port, tiny_bundle))
    try:
        redis.start()
        server.start()
        server.redis = redis.client()  # type: ignore[attr-defined]
        yield server
    finally:
        server.stop()
        redis.kill()


@pytest.fixture
def here(api: Gunicorn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gunicorn:
    """The API as that of the local stack `t`, with an empty store but for the trail, of which the API knows the end."""
    client = api.redis  # type: ignore[attr-defined]
    client.delete("none", *(key for key in client.keys("*") if key != TRAIL.encode()))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PNEUMO_STACK", "t")
    monkeypatch.delenv("PNEUMO_DATA", raising=False)
    ports = {"redis": 1, "api": api.port, "ui": 1}
    stack.find("t").save(Secrets("r", "m", TOKEN), Ports(ports, ports))
    stack.find("t").layout.api_socket.symlink_to(api.socket)
    return api


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 pictures labelled PNEUMONIA and 6 labelled NORMAL; two of the latter have an opacity, so two are wrong."""
    folder = tmp_path_factory.mktemp("sets") / "data" / "test"
    for name, seeds in (("PNEUMONIA", ILL), ("NORMAL", WELL)):
        (folder / name).mkdir(parents=True)
        for seed in seeds:
            drawing = phantom.png(seed, 192, opacity=name == "PNEUMONIA" or seed < 114)
            (folder / name / f"Miller_Anna_{seed}.png").write_bytes(drawing)
    return folder


def infer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert run(["infer", "--json", *words]) == code
    return json.loads(capsys.readouterr().out)


def stored(api: Gunicorn) -> list[dict[str, Any]]:
    answer = urllib3.request("GET", f"{api.url}/v1/predictions?limit=100", headers={"Authorization": f"Bearer {TOKEN}"})
    return list(answer.json()["predictions"])


def test_a_folder_is_scored_shown_and_judged(
    here: Gunicorn, drawings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = infer(capsys, str(drawings))
    records = stored(here)
    assert document["posted"] == document["pictures"] == document["scored"] == len(records) == 18
    figures = document["figures"]
    assert figures["sensitivity"]["n"] == 12 and figures["specificity"]["n"] == 6
    assert figures["sensitivity"]["value"] == 1 and figures["specificity"]["value"] == 4 / 6
    labels = [1] * 12 + [0] * 6
    assert figures["confusion"] == {"tp": 12, "fp": 2, "tn": 4, "fn": 0}
    assert figures["auc"]["n"] == 18 and figures["auc"]["low"] < figures["auc"]["value"] <= figures["auc"]["high"]
    wilson = evaluate(labels, [0.9] * 14 + [0.1] * 4, 0.5)
    assert figures["specificity"] == wilson["specificity"] and figures["sensitivity"] == wilson["sensitivity"]
    assert document["model"] == records[0]["model"]
    assert all("Miller" not in record["file"] and record["file"].endswith(".png") for record in records)


def test_a_second_run_posts_nothing_and_records_nothing(
    here: Gunicorn, drawings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = infer(capsys, str(drawings), "--jobs", "1")
    before, acts = stored(here), audit.chain(stack.find("t")).entries()
    assert [act["event"] for act in acts] == ["begun", "ended"] and acts[1]["changed"] == ["18 predictions posted"]
    assert "Miller" not in json.dumps(acts) and str(drawings) not in json.dumps(acts)
    again = infer(capsys, str(drawings), "--jobs", "7")
    assert again == {**first, "posted": 0} and stored(here) == before
    assert audit.chain(stack.find("t")).entries() == acts
    log = here.log.read_text()
    assert log.count("POST /v1/predictions") >= 18 and "Miller" not in log
    assert run(["infer", str(drawings)]) == 0
    output = capsys.readouterr().out
    assert "sensitivity  1.000" in output and "0 posted; what the stack had already" in output
    assert "18 pictures: 18 scored, 0 refused, 0 errors" in output and first["model"]["version"] in output


def test_files_that_cannot_be_scored_set_the_exit_code(
    here: Gunicorn, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "some"
    shutil.copytree(drawings, folder)
    (folder / "NORMAL" / "half.png").write_bytes(phantom.png(200, 192)[:3000])
    document = infer(capsys, str(folder), code=Exit.PARTLY)
    assert (document["pictures"], document["scored"], document["refused"]) == (19, 18, 1)
    assert document["figures"]["n"] == 18
    wrong = Secrets("r", "m", "another token")
    ports = {"redis": 1, "api": here.port, "ui": 1}
    stack.find("t").save(wrong, Ports(ports, ports))
    document = infer(capsys, str(folder), code=Exit.FAILED)
    assert len(document["errors"]) == 19 and "401" in document["errors"][0]["message"]
    assert document["figures"] is None and document["posted"] == 0


def test_an_api_that_is_gone_is_an_error(here: Gunicorn, drawings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack.find("t").layout.api_socket.unlink()
    assert "does not run" in infer(capsys, str(drawings), code=1)["error"]["message"]
    assert not audit.chain(stack.find("t")).path.exists()


def test_the_folder_is_the_named_one_or_the_test_split_of_the_data(
    here: Gunicorn, drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        error = infer(capsys, *words, code=Exit.USAGE)["error"]
        return f"{error['message']} {error['hint']}"

    assert "PNEUMO_DATA" in refused()
    assert "has no folders NORMAL and PNEUMONIA" in refused(str(tmp_path))
    assert f"pneumoctl infer {drawings}" in refused(str(drawings.parent))
    monkeypatch.setenv("PNEUMO_DATA", str(tmp_path / "none"))
    assert "no test split" in refused()
    monkeypatch.setenv("PNEUMO_DATA", str(drawings.parent))
    assert infer(capsys)["pictures"] == 18
    monkeypatch.setenv("PNEUMO_DATA", str(drawings.parents[1]))  # a folder of data sets
    assert infer(capsys)["posted"] == 0
    for two in ("one", "two"):
        shutil.copytree(drawings, tmp_path / "sets" / two / "test")
    monkeypatch.setenv("PNEUMO_DATA", str(tmp_path / "sets"))
    assert "2 test splits" in refused()


def test_no_stack(drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(["infer", str(drawings), "--stack", "none"]) == 1


def posts(api: Gunicorn) -> int:
    """How many pictures the API has stored since it started, by its log: to ask it often takes CPU time."""
    return api.log.read_text().count('"POST /v1/predictions HTTP/1.1" 201 ')


# It forwards posts until this many pictures are stored and keeps the rest. A post whose answer is not 201 is not
# counted: the client repeats it.
RELAY = """
import asyncio, sys
left = int(sys.argv[3])
async def serve(reader, writer):
    posting = False
    async def requests(target):
        global left
        nonlocal posting
        while data := await reader.read(65536):
            if data.startswith(b"POST "):
                while left == 0:
                    await asyncio.sleep(0.01)
                left, posting = left - 1, True
            target.write(data)
            await target.drain()
        target.close()
    async def answers(source):
        global left
        nonlocal posting
        while data := await source.read(65536):
            if posting and data.startswith(b"HTTP/1.1 "):
                left, posting = left + (not data.startswith(b"HTTP/1.1 201 ")), False
            writer.write(data)
            await writer.drain()
        writer.close()
    source, target = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(requests(target), answers(source), return_exceptions=True)
async def main():
    server = await asyncio.start_server(serve, sys.argv[1], 5000)
    print("listens", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.contextmanager
def answering(api: Gunicorn, address: str, posts: int = 1000) -> Iterator[None]:
    """The API at that address, port 5000."""
    words = [sys.executable, "-c", RELAY, address, str(api.port), str(posts)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as relay:
        try:
            assert relay.stdout is not None and relay.stdout.readline()
            yield
        finally:
            relay.kill()


def clients(user: User) -> list[int]:
    """Processes of ssh that use the stack's configuration."""
    config = str(user.farm.directory / "config")
    return [process.pid for process in psutil.process_iter(["cmdline"]) if config in (process.info["cmdline"] or ())]


def test_on_aws_it_goes_through_ssh_and_a_killed_run_is_resumed(
    here: Gunicorn, drawings: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with on_loopback(tmp_path_factory.mktemp("farm")) as farm:
        user, address = User(farm), farm.servers["app-0"].address
        stack.Stack("t", user.state / "pneumoctl" / "t").write("secrets.json", asdict(Secrets("r", MAC_KEY, TOKEN)))
        with answering(here, address, posts=9):
            before, deadline = posts(here), time.monotonic() + 600
            child = user.start("infer", str(drawings))
            while posts(here) < before + 9 and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            child.send_signal(signal.SIGKILL)
            child.communicate()
        while clients(user) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert clients(user) == []  # the forward ended with it
        assert len(stored(here)) == 9
        with answering(here, address):
            document = json.loads(user.run("infer", str(drawings), "--json").stdout)
            assert document["scored"] == 18 and document["posted"] == 9 and len(stored(here)) == 18
            drawing = next(drawings.rglob("*.png"))
            predicted = json.loads(user.run("predict", "--remote", str(drawing), "--json").stdout)  # on the same way
            assert len(predicted["predictions"]) == 1 and len(stored(here)) == 19
            assert json.loads(user.run("audit", "--verify", "--json").stdout)["unfinished"] == ["infer"]
        assert "does not answer" in user.run("infer", str(drawings), code=1).stderr
        farm.servers["app-0"].stop()
        stderr = user.run("infer", str(drawings), code=1).stderr
        assert "app-0" in stderr and "Traceback" not in stderr


def test_the_official_test_split_is_all_scored(
    here: Gunicorn, data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the tiny test network, which was trained on drawings: the test checks that every picture is counted."""
    monkeypatch.setenv("PNEUMO_DATA", str(data_root))
    assert run(["infer", "--json"]) in (Exit.DONE, Exit.PARTLY)
    document = json.loads(capsys.readouterr().out)
    assert document["errors"] == []
    assert document["pictures"] == 624 == document["scored"] + document["refused"]
