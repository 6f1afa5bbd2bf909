"""The front door with the real page behind it, assessed by security scanners for web sites."""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from urllib3 import encode_multipart_formdata

from model import phantom
from tests.browser.conftest import Stack
from tests.templates.front import Front, Upstream, written
from tests.templates.programs import checker

pytestmark = pytest.mark.usefixtures("network")


@pytest.fixture(scope="module")
def page(network: None, tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Upstream]:
    """Redis, the API and the page."""
    stack = Stack.started(tmp_path_factory.mktemp("stack"), tiny_bundle)
    yield Upstream("127.0.0.1", stack.ui.port)
    stack.stop()


@pytest.fixture
def front(folder: Path, page: Upstream) -> Iterator[Front]:
    """nginx before the page."""
    with Front(folder, page) as made:
        yield made


def test_a_picture_gets_its_finding(front: Front) -> None:
    body, kind = encode_multipart_formdata([("file", ("chest.png", phantom.png(101, 192, opacity=True)))])
    sent = {"Content-Type": kind, "Origin": "https://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    answer = front.ask("/predictions", "POST", sent, body)
    (location,) = answer.all("Location")
    assert (answer.status, location.partition("?")[0]) == (303, "/results")
    assert b"Signs of pneumonia" in front.ask(location).body


@pytest.mark.parametrize("path", ["/", "/predictions", "/static/style.css", "/there-is-none", "/livez"])
def test_no_header_is_sent_twice(front: Front, path: str) -> None:
    assert {name: n for name, n in Counter(name for name, _ in front.ask(path).headers).items() if n > 1} == {}


# --- gixy


def gixy(path: Path) -> list[str]:
    """The problems that gixy finds in a file which nginx accepts; gixy reports no problem in an invalid file."""
    result = subprocess.run([checker("gixy"), "--format", "json", str(path)], text=True, capture_output=True)
    assert "WARNING" not in result.stderr, result.stderr
    return [f"{finding['plugin']}: {finding['summary']}" for finding in json.loads(result.stdout)]


@pytest.mark.parametrize("acme", [False, True])
def test_gixy_finds_nothing(folder: Path, acme: bool) -> None:
    assert gixy(written(folder, (Upstream("10.0.0.1"), Upstream("10.0.0.2", down=True)), acme=acme)) == []


def test_gixy_would_find_something(folder: Path) -> None:
    path = written(folder, (Upstream("10.0.0.1"),))
    bad = path.read_text().replace("proxy_set_header Host $host;", "proxy_set_header Host $http_host;")
    path.write_text(bad.replace("server_tokens off;", "server_tokens on;"))
    assert {finding.partition(":")[0] for finding in gixy(path)} == {"host_spoofing", "version_disclosure"}


# --- sslyze, against Mozilla's intermediate profile


def sslyze(front: Front, folder: Path) -> tuple[list[str], dict]:
    """What sslyze finds against the profile, and all that it saw."""
    report = folder / "sslyze.json"
    argv = [checker("sslyze"), "--mozilla_config=intermediate", f"--json_out={report}", "127.0.0.1:443"]
    output = subprocess.run(argv, text=True, capture_output=True).stdout
    (scan,) = json.loads(report.read_text())["server_scan_results"]
    judgement = output.partition("127.0.0.1:443: FAILED - Not compliant.")[2]
    assert scan["scan_status"] == "COMPLETED" and judgement, output
    return re.findall(r"^ +\* (\w+):", judgement, re.M), scan["scan_result"]


def test_sslyze_finds_nothing_but_that_nobody_signed_the_certificate(front: Front, tmp_path: Path) -> None:
    problems, output = sslyze(front, tmp_path)
    assert problems == ["certificate_path_validation"]
    versions = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    accepted = {
        version: len(output[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"]) for version in versions
    }
    assert accepted == {"ssl_2_0": 0, "ssl_3_0": 0, "tls_1_0": 0, "tls_1_1": 0, "tls_1_2": 3, "tls_1_3": 3}
    assert not output["heartbleed"]["result"]["is_vulnerable_to_heartbleed"]
    assert not output["openssl_ccs_injection"]["result"]["is_vulnerable_to_ccs_injection"]
    assert not output["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"]
    assert not output["tls_compression"]["result"]["supports_compression"]


def test_sslyze_would_find_more(folder: Path, tmp_path: Path, page: Upstream) -> None:
    with Front(folder, page, weaker=("ssl_ciphers ", "ssl_ciphers ECDHE-ECDSA-AES128-SHA:")) as front:
        assert "ciphers" in sslyze(front, tmp_path)[0]


# --- Mozilla's HTTP Observatory


def observed(front: Front) -> dict:
    """The result of the Observatory's own program for the site."""
    program = Path(checker("observatory")) / "@mdn/mdn-http-observatory/src/scan.js"
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(front.directory / "certificate.pem")}
    argv = [checker("node"), program, "127.0.0.1"]
    result = subprocess.run(argv, text=True, capture_output=True, env=environment, cwd=front.directory)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def test_the_observatory_gives_its_best_grade(front: Front) -> None:
    judged = observed(front)
    assert judged["scan"]["statusCode"] == 200
    assert (judged["scan"]["grade"], judged["scan"]["testsFailed"]) == ("A+", 0), judged["tests"]


def test_the_observatory_would_give_a_worse_one(folder: Path, page: Upstream) -> None:
    with Front(folder, page, weaker=("add_header Strict-Transport-Security", "add_header X-Nothing")) as front:
        assert observed(front)["scan"]["grade"] not in ("A+", "A")
