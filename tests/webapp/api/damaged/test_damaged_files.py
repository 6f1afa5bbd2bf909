"""Damaged files, one after the other, to a running API: it answers each as `pneumoctl predict` does, and survives all.

What a file costs is measured as processor time and memory of the API's process: other processes do not change it.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from model.images.limits import WORKING_BYTES
from tests.model.images.fuzz.corpus import Whole
from tests.model.images.fuzz.fuzz import Corpus
from tests.webapp.servers import ROOT, TOKEN, Gunicorn, api_environment, running_redis

FEW, MANY = 150, 2000
KINDS = 30  # of damage, among the many
LIMIT_S = 2.0  # of processor time for one file
SLACK = 80_000_000  # bytes besides those of decoding: the body, the copies that are stored, what allocators keep
OF_THE_RUN = ("created", "elapsed_ms")  # what may differ


class Api:
    """The API in one process, and what that process has used."""

    def __init__(self, server: Gunicorn) -> None:
        self.server = server
        self._http = urllib3.PoolManager(retries=False, timeout=600)
        (self.worker,) = psutil.Process(server.process.pid).children()

    def send(self, content: bytes, name: str) -> dict[str, Any]:
        """The prediction for a file, or the problem that it is."""
        answer = self._http.request(
            "POST",
            f"{self.server.url}/v1/predictions",
            fields={"file": (name, content)},
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        assert answer.status in (201, 400, 413), (name, answer.status, answer.data)
        document: dict[str, Any] = answer.json()
        return document["predictions"][0] if answer.status == 201 else document

    def seconds(self) -> float:
        """Processor time so far, of all its threads."""
        used = self.worker.cpu_times()
        return used.user + used.system

    def most_memory(self) -> int:
        """Bytes that it has had at most."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.fixture
def api(tmp_path: Path, tiny_bundle: Path) -> Iterator[Api]:
    """The API, which keeps films of 16 bits, too."""
    with running_redis(tmp_path / "redis", memory_mb=512) as redis:
        environment = {**api_environment(redis.port, tiny_bundle), "KEEP_16_BIT_MB": "4"}
        server = Gunicorn("webapp.api", tmp_path, environment)
        server.start()
        yield Api(server)
        server.stop()


def name_of(seed: int, whole: Whole) -> str:
    """A name with the suffix of the file's format."""
    return f"{seed:05}{'.dcm' if whole.packed else {'PNG': '.png', 'JPEG': '.jpg'}[whole.codec]}"


def predicted(folder: Path, bundle: Path) -> dict[str, dict[str, Any]]:
    """What `pneumoctl predict` says of each file of a folder, by its name."""
    names = sorted(each.name for each in folder.iterdir())  # as they were sent: an id depends on the name, too
    argv = [sys.executable, "-m", "pneumoctl", "predict", *names, "--json", "--model", str(bundle), "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder.parent / "state")}
    run = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True)
    document = json.loads(run.stdout)
    assert (document["errors"], document["skipped"]) == ([], []), run.stderr
    return {each["file"]: each for each in document["predictions"]}


def compared(document: dict[str, Any]) -> dict[str, Any]:
    """A prediction without what differs from run to run."""
    return {name: value for name, value in document.items() if name not in OF_THE_RUN}


@pytest.mark.parametrize("files", [FEW, pytest.param(MANY, marks=pytest.mark.repeat)])
def test_each_damaged_file_gets_the_answer_of_predict(api: Api, tiny_bundle: Path, tmp_path: Path, files: int):
    corpus, folder = Corpus(None), tmp_path / "files"
    folder.mkdir()
    for whole in corpus.built:
        api.send(whole.content, name_of(0, whole))
    memory, kinds, answers = api.most_memory(), Counter[str](), dict[str, dict[str, Any]]()
    for seed in range(files):
        whole, twin, _ = corpus.case(seed)
        name, before = name_of(seed, whole), api.seconds()
        (folder / name).write_bytes(twin.content)
        answers[name] = api.send(twin.content, name)
        assert api.seconds() - before < LIMIT_S, (name, twin.kind)
        kinds[f"{whole.codec}, {twin.kind}"] += 1
    assert api.worker.is_running() and "Traceback" not in api.server.log.read_text()
    assert api.most_memory() - memory < WORKING_BYTES + SLACK
    wanted = predicted(folder, tiny_bundle)
    assert {name: compared(each) for name, each in answers.items()} == {
        name: compared(each) for name, each in wanted.items()
    }
    assert {each["refusal"] is None for each in answers.values()} == {True, False}
    assert files == FEW or len(kinds) >= KINDS
