"""What only the header of a DICOM film says is nowhere: in no page, log, address, metric, record, export or report.

A whole stack takes films by upload, STOW-RS and C-STORE; people view, review, search, export and erase their results.
"""

import html
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pytest
import redis
import urllib3
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from tests.pneumoctl.conftest import Operator
from tests.pneumoctl.targets.local.canary_film import CANARIES, film, found
from tests.webapp.api.received.films import related
from tests.webapp.receiver import senders
from tests.webapp.servers import free_port, redis_binary

JSON = {"Accept": "application/json"}
# A person's own words are shown and stored, and may be nowhere else.
FILE, FOLDER, COMMENT, SEARCH = "Feuersalamqua.dcm", "Quittenstation", "Bemerkquatsch", "Suchquendel"
OWN_WORDS = ("Feuersalamqua", FOLDER, COMMENT, SEARCH)


class Collected:
    """What a stack gave out: bytes by the name of where they were."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.given: dict[str, bytes] = {}
        self.addresses: set[str] = set()
        self._http = urllib3.PoolManager(retries=False, timeout=120)

    def ask(self, path: str, method: str = "GET", **more) -> urllib3.BaseHTTPResponse:
        """Ask the page."""
        answer = self._http.request(method, self.operator.url + path, redirect=False, **more)
        assert answer.status < 400, (path, answer.status, answer.data)
        self.given[f"{method} {path} {len(self.given)}"] = answer.data + repr(answer.headers).encode()
        if "html" in answer.headers.get("Content-Type", "") and SEARCH not in path:
            found_addresses = re.findall(r'(?:href|src|action|srcset)="([^"]*)"', answer.data.decode())
            self.addresses.update(map(html.unescape, found_addresses))
        self.addresses.update({answer.headers.get("Location", "")})
        return answer

    def api(self, path: str, method: str = "GET", **more) -> urllib3.BaseHTTPResponse:
        """Ask the API with the token of the stack."""
        inventory, secrets = self.operator.stack.inventory(), self.operator.stack.secrets()
        assert inventory is not None and secrets is not None
        headers = {"Authorization": f"Bearer {secrets.api_token}", **more.pop("headers", {})}
        return self._http.request(method, inventory.url("api") + path, headers=headers, **more)

    def run(self, *words: str, **more) -> None:
        """Keep what a command prints."""
        done = self.operator.run(*words, **more)
        self.given[" ".join(words)] = (done.stdout + done.stderr).encode()

    def files(self, folder: Path, *without: Path) -> None:
        """Keep all files below a folder."""
        for file in folder.rglob("*"):
            if file.is_file() and not any(each in file.parents for each in without):
                self.given[f"{file} {len(self.given)}"] = file.name.encode() + file.read_bytes()

    def holding(self, words: tuple[str, ...], *places: str) -> dict[str, list[str]]:
        """Where words are, among all places or those whose names have one of these parts."""
        chosen = {name: content for name, content in self.given.items() if not places or any(p in name for p in places)}
        assert chosen
        return {name: hits for name, content in chosen.items() if (hits := found(words, content))}


@pytest.fixture
def collected(operator: Operator) -> Collected:
    """A stack with a receiver, which keeps films of 16 bits."""
    operator.environment.update(PNEUMO_DICOM_PORT=str(free_port()), PNEUMO_KEEP_16_BIT_MB="4")
    operator.run("up", "-y")
    return Collected(operator)


def upload(collected: Collected, content: bytes, name: str = f"{FOLDER}/{FILE}") -> list[dict]:
    fields = {"file": (name, content, "application/dicom")}
    return collected.ask("/predictions", "POST", fields=fields, headers=JSON).json()["predictions"]


def send_all(collected: Collected) -> list[str]:
    """Send films in each way that there is; the ids of their results, once all have one."""
    uploaded = [upload(collected, film(1)), upload(collected, film(2, bits=12)), upload(collected, film(3, size=8))]
    upload(collected, film(4)[:9000])  # damaged
    body, kind = related(film(5), film(6, bits=12), film(7)[:5000])
    answer = collected.api("/dicomweb/studies", "POST", body=body, headers={"Content-Type": kind})
    assert answer.status in (200, 202), answer.data
    sent = dcmread(DicomBytesIO(film(8)))
    assert senders.send(int(collected.operator.environment["PNEUMO_DICOM_PORT"]), sent) == 0
    while collected.api("/v1/received").json()["waiting"]:
        time.sleep(0.1)
    state = collected.api("/v1/received").json()
    assert state["failed_total"] == 0
    listed = collected.ask("/predictions", headers=JSON).json()["predictions"]
    assert len(listed) >= 7
    return [*(each["id"] for (each,) in uploaded), *(each["id"] for each in listed)]


def look_and_review(collected: Collected, identifiers: list[str]) -> None:
    """Do what people do on the page."""
    for path in (
        "/",
        "/predictions",
        f"/predictions?q={SEARCH}",
        "/predictions.csv",
        "/received",
        "/predictions/changes",
    ):
        collected.ask(path)
    collected.ask("/results?" + "&".join(f"id={each}" for each in identifiers[:3]))
    for identifier in dict.fromkeys(identifiers):
        path = f"/predictions/{identifier}"
        for part in ("", "?heatmap=1", "/result.csv", "/erase"):
            collected.ask(path + part)
        document = collected.ask(path, headers=JSON).json()
        if document["refusal"] is None:
            for part in ("/image.png", "/heatmap.png", "/thumbnail.png"):
                collected.ask(path + part)
    collected.ask(f"/predictions/{identifiers[1]}/view.bin")
    for label in ("pneumonia", "no pneumonia"):
        collected.ask(
            f"/predictions/{identifiers[0]}/feedback",
            "POST",
            fields={"label": label, "comment": COMMENT},
            headers={"Origin": collected.operator.url},
        )
    study = collected.api(f"/v1/predictions/{identifiers[0]}/source").json()["study"]
    collected.ask(f"/predictions?study={study}")
    collected.ask(f"/studies/{study}/erase")
    collected.ask(f"/predictions/{identifiers[2]}/erase", "POST", headers={"Origin": collected.operator.url})


def commands(collected: Collected, identifiers: list[str], folder: Path) -> None:
    """Do what an operator does."""
    (folder / FILE).write_bytes(film(9))
    collected.run(
        "predict", str(folder / FILE), "--json", "--pdf", str(folder / "reports"), "--explain", str(folder / "maps")
    )
    collected.run("predict", "--remote", str(folder / FILE), "--csv")
    (folder / FILE).unlink()
    for target in ("all.csv", "all.pdf"):
        collected.run("results", "report", str(folder / target))
    collected.run("results", "export", str(folder / "export"))
    collected.run("results", "export", str(folder / "export.tar"))
    collected.run("results", "erase", identifiers[-1], "-y")
    for words in (("status", "--json"), ("logs", "-n", "1000"), ("audit", "--json"), ("audit", "--clinical", "--json")):
        collected.run(*words)


def stored(collected: Collected, folder: Path) -> None:
    """Keep all that Redis has in its file: in its keys, as another Redis reads them, and as it is."""
    copy = folder / "redis"
    shutil.copytree(collected.operator.directory / "redis" / "data", copy)
    collected.files(copy)
    port = free_port()
    argv = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(copy), "--appendonly", "yes"]
    process = subprocess.Popen([*argv, "--save", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            while True:
                try:
                    client.ping()
                    break
                except redis.RedisError:
                    assert process.poll() is None
                    time.sleep(0.05)
            keys = list(client.scan_iter(count=1000))
            assert keys
            for key in keys:
                collected.given[f"redis key {key!r}"] = key + b"".join(_values(client, key))
    finally:
        process.kill()
        process.wait()


def _values(client: redis.Redis, key: bytes) -> Iterator[bytes]:
    match client.type(key):
        case b"string":
            yield client.get(key)
        case b"hash":
            yield from (part for pair in client.hgetall(key).items() for part in pair)
        case b"list":
            yield from client.lrange(key, 0, -1)
        case b"zset":
            yield from client.zrange(key, 0, -1)
        case b"stream":
            yield repr(client.xrange(key)).encode()
        case other:
            raise AssertionError(f"a key of the type {other!r}, which this test cannot read")


def texts_of(report: Path) -> bytes:
    """The words of a PDF file, which are compressed in it."""
    with pypdfium2.PdfDocument(report) as document:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document).encode()


def test_the_search_finds_each_canary_in_the_film_itself():
    content = film(1)
    assert found(CANARIES, content) == list(CANARIES)
    assert found(OWN_WORDS, content) == []


def test_nothing_that_only_the_header_says_is_given_out(collected: Collected, tmp_path: Path):
    identifiers = send_all(collected)
    look_and_review(collected, identifiers)
    commands(collected, identifiers, tmp_path)
    inventory = collected.operator.stack.inventory()
    for service in ("api", "ui"):
        collected.given[f"metrics of {service}"] = urllib3.request("GET", f"{inventory.url(service)}/metrics").data
    collected.given["trail"] = collected.api("/v1/trail?limit=1000").data
    stored(collected, tmp_path)
    collected.files(collected.operator.state)  # a teardown leaves only the exports and the audit record
    collected.run("teardown", "-y")
    collected.files(collected.operator.state)
    collected.files(tmp_path)
    for report in tmp_path.rglob("*.pdf"):
        collected.given[f"words of {report}"] = texts_of(report)
    collected.given["addresses"] = "\n".join(sorted(collected.addresses)).encode()

    for word, place in (
        (FILE, "GET /predictions "),
        (FOLDER, "all.csv"),
        (COMMENT, "feedback.jsonl"),
        (FILE, "words of"),
    ):
        assert collected.holding((word,), place), "the search finds what is there"
    assert len(collected.given) > 150
    assert collected.holding(CANARIES) == {}
    without_words = ("metrics of", "trail", "addresses", "/logs/", "logs -n", "audit", "journal", "status --json")
    assert collected.holding(OWN_WORDS, *without_words) == {}
