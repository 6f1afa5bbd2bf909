"""The front door in a real nginx: forwarded requests, limits, error pages and logs."""

import json
import re
import select
import socket
import ssl
import struct
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from pneumoctl.hosts.service_files import MAX_THUMBNAILS
from tests.templates.front import SHARED_LOGIN, Front, Host, Upstream, nginx, written
from webapp.ui.guard import HEADERS

ONE, TWO = Upstream("127.0.0.11"), Upstream("127.0.0.12")
GUARDS = {**HEADERS, "Cache-Control": "no-store"}
HSTS = "Strict-Transport-Security"
TWO_YEARS = ["max-age=63072000"]
IDENTIFIER = "0123456789abcdef" * 2

pytestmark = pytest.mark.usefixtures("network")


def checked(path: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(nginx(path, "-t", "-q"), text=True, capture_output=True)


@pytest.mark.parametrize("acme", [False, True])
@pytest.mark.parametrize(
    "upstreams",
    [(ONE,), (ONE, TWO), (Upstream("127.0.0.11", down=True), TWO), tuple(Upstream(f"127.0.1.{n}") for n in range(50))],
    ids=["one", "two", "one is drained", "the most"],
)
def test_nginx_finds_no_fault(folder: Path, upstreams: tuple[Upstream, ...], acme: bool) -> None:
    assert (checked(written(folder, upstreams, acme=acme)).stderr) == ""
    assert (checked(written(folder, upstreams, acme=acme, shared_login=True)).stderr) == ""


def test_nginx_would_find_a_fault(folder: Path) -> None:
    path = written(folder, (ONE,))
    path.write_text(path.read_text().replace("proxy_pass http://page;", "proxy_pass http://page", 1))
    assert checked(path).returncode == 1


@pytest.mark.parametrize("name", ["127.0.0.1", "pneumo.example", "elsewhere.example"])
def test_everything_goes_to_https(front: Front, page: Host, name: str) -> None:
    answer = front.ask("/predictions?order=time", host=name, encrypted=False)
    assert (answer.status, answer.all("Location")) == (301, [f"https://{name}/predictions?order=time"])
    assert (answer.all(HSTS), page.seen) == ([], [])


def test_a_challenge_of_acme_stays_on_http(folder: Path) -> None:
    with Front(folder, ONE, acme=True) as front:
        challenge = "/.well-known/acme-challenge/there-is-none"
        assert front.ask(challenge, encrypted=False).status == 404
        assert front.ask("/livez", encrypted=False).status == 301


def test_a_foreign_name_is_not_served(front: Front, page: Host) -> None:
    answer = front.ask("/livez", host="elsewhere.example")
    assert (answer.status, answer.all(HSTS), page.seen) == (421, TWO_YEARS, [])
    assert b"<h1>Error: This name is not served here</h1>" in answer.body


def test_requests_are_forwarded(front: Front, page: Host) -> None:
    lies = {"X-Forwarded-For": "a lie", "X-Real-IP": "a lie", "X-Forwarded-Proto": "http"}
    sent = {**lies, **SHARED_LOGIN, "X-Pneumo-Probe": "1", "Cookie": "a=b"}
    answer = front.ask("/predictions?order=time", headers=sent)
    assert (answer.status, answer.body) == (200, b"ok")
    ((method, path, headers, _),) = page.seen
    assert (method, path, headers["Host"]) == ("GET", "/predictions?order=time", "127.0.0.1")
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "https")
    assert (headers["X-Real-IP"], headers["Cookie"]) == ("127.0.0.1", "a=b")
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-ID"])
    assert headers["X-Pneumo-Probe"] == "1"
    assert "Authorization" not in headers


def test_the_token_of_a_program_reaches_the_page(front: Front, page: Host) -> None:
    front.ask("/predictions", headers={"Authorization": "Bearer pneumo_1_x"})
    assert page.seen[0][2]["Authorization"] == "Bearer pneumo_1_x"


@pytest.mark.parametrize("path", ["/", "/predictions", "/login", "/static/style.css", "/metrics/"])
def test_the_shared_login_of_an_earlier_release_is_asked_for_until_it_ends(folder: Path, page: Host, path: str) -> None:
    with Front(folder, ONE, shared_login=True) as front:
        refused = front.ask(path)
        assert (refused.status, refused.all("WWW-Authenticate"), page.seen) == (401, ['Basic realm="pneumoctl"'], [])
        assert front.ask(path, headers=SHARED_LOGIN).status == 200
        assert "Authorization" not in page.seen[0][2]
        assert front.ask("/livez").body == b"ok"


@pytest.mark.parametrize("path", ["/login", "/set-password", "/login?next=/"])
def test_attempts_to_log_in_are_limited_by_address_and_the_login_page_is_not(front: Front, path: str) -> None:
    statuses = [front.ask(path, "POST", body=b"name=a").status for _ in range(20)]
    assert set(statuses[:11]) == {200} and 429 in statuses[11:]
    assert {front.ask(path).status for _ in range(20)} == {200}
    assert front.ask("/predictions", "POST", body=b"picture").status == 200


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/metrics?x", "/error.html", "/error.json"])
def test_internal_paths_are_not_found(front: Front, page: Host, path: str) -> None:
    assert (front.ask(path).status, page.seen) == (404, [])


def test_the_page_sets_its_headers_and_nginx_the_one_that_is_left(front: Front) -> None:
    answer = front.ask("/")
    assert {name: answer.all(name) for name in GUARDS} == {name: [value] for name, value in GUARDS.items()}
    assert (answer.all(HSTS), answer.all("Server")) == (TWO_YEARS, ["nginx"])


# Requests and the expected responses.
ERRORS = [
    ("/metrics", None, 404),
    ("/predictions", b"x" * (8 * 1024 * 1024 + 1), 413),
    ("/die", None, 502),
    ("/die/image.png", None, 502),
]
MEANS = ["404", "413", "502", "502 of a picture"]


@pytest.mark.parametrize(("path", "body", "status"), ERRORS, ids=MEANS)
def test_error_pages_of_nginx_have_security_headers_and_no_finding(
    folder: Path, path: str, body: bytes | None, status: int
) -> None:
    with Front(folder, ONE) as front:  # no host is behind it
        answer = front.ask(path, "POST" if body else "GET", body=body)
        problem = front.ask(path, "POST" if body else "GET", {"Accept": "application/json"}, body)
    for response, kind in ((answer, "text/html; charset=utf-8"), (problem, "application/problem+json")):
        assert (response.status, response.all("Content-Type")) == (status, [kind])
        assert (response.all(HSTS), response.all("Vary")) == (TWO_YEARS, ["Accept"])
        assert {name: len(response.all(name)) for name in GUARDS} == dict.fromkeys(GUARDS, 1)
        assert b"nginx" not in response.body
    text = answer.body.decode()
    assert "<h1>Error: " in text and "says nothing about any picture" in text
    assert "pneumonia" not in text.lower() and "finding" not in text
    document = json.loads(problem.body)
    assert (document["status"], set(document)) == (status, {"type", "title", "status", "detail", "instance"})
    assert document["title"] in text and document["detail"] in text


def test_an_address_that_is_too_long_gets_the_same_error_page(front: Front) -> None:
    answer = front.ask("/" + "x" * 9000)
    assert (answer.status, answer.all("X-Frame-Options")) == (414, ["DENY"])
    assert b"<h1>Error: The address is too long</h1>" in answer.body


def test_concurrent_requests_are_limited(front: Front) -> None:
    def burst(requests: int) -> bytes:
        """The responses to this many requests on one connection."""
        lines = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * requests
        with (
            socket.create_connection(("127.0.0.1", 443), timeout=30) as plain,
            front.context.wrap_socket(plain, server_hostname="127.0.0.1") as tunnel,
        ):
            tunnel.setblocking(False)  # one thread: two in one TLS connection crash Python before 3.13
            got, unsent = b"", memoryview(lines)
            while len(re.findall(rb"HTTP/1\.1 \d", got)) < requests:
                with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    unsent = unsent[tunnel.send(unsent) :] if unsent else unsent
                with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    if not (more := tunnel.recv(65536)):
                        break
                    got += more
                    continue
                assert any(select.select([tunnel], [tunnel] if unsent else [], [], 30))
        return got

    assert Counter(re.findall(rb"HTTP/1\.1 (\d+)", burst(150))) == {b"200": 150}
    refused = next(one for one in burst(900).split(b"HTTP/1.1 ") if one.startswith(b"429"))
    assert b"\r\nRetry-After: 1\r\n" in refused


def test_four_people_who_open_a_list_do_not_use_up_its_places_on_the_page(front: Front) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tunnel,
    ):
        tunnel.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">3sBBI", bytes(3), 4, 0, 0))
        received = tunnel.makefile("rb")
        length, kind = struct.unpack(">3sB5x", received.read(9))
        settings = dict(struct.iter_unpack(">HI", received.read(int.from_bytes(length, "big"))))
    streams = settings[3]  # SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113)
    assert (kind, 4 * streams <= MAX_THUMBNAILS) == (4, True)


def test_the_log_has_requests_but_no_patient_data(front: Front) -> None:
    def line_of(path: str) -> str:  # awaited: another worker may write the line of a later request first
        front.ask(path)
        return front.logged()

    lines = [
        line_of(path)
        for path in (
            f"/predictions/{IDENTIFIER}/image.png?name=meier.png",
            f"/results?id={IDENTIFIER}",
            f"/predictions/{IDENTIFIER}",
            f"/predictions/{IDENTIFIER}/thumbnail.png",
            "/predictions?q=meier&review=unread",
            f"/predictions/{IDENTIFIER}?q=meier",
            "/meier-anna-1950.dcm",
            "/static/style.css",
            "/",
            f"/predictions/{IDENTIFIER}/erase",
            "/erased",
            f"/predictions/{IDENTIFIER}/feedback/{IDENTIFIER}/withdrawal",
            "/predictions.csv?q=meier",
            f"/predictions/{IDENTIFIER}/result.csv",
            "/login?next=/predictions/meier",
            "/set-password?link=the-token-of-a-link",
            "/predictions/changes",
            "/studies/ABCDEFGHIJKL/erase",
            f"/predictions/{IDENTIFIER}/view.bin",
            "/received",
            "/logged-in?q=meier",
        )
    ]
    routes = [line.split()[3] for line in lines]
    shown = ["/predictions/ID", "/predictions/ID/thumbnail.png", "/predictions", "/predictions/ID"]
    assert routes[:9] == ["/predictions/ID/image.png", "/results", *shown, "other", "/static", "/"]
    assert routes[9:12] == ["/predictions/ID/erase", "/erased", "/predictions/ID/feedback/ID/withdrawal"]
    assert routes[12:14] == ["/predictions.csv", "/predictions/ID/result.csv"]
    assert routes[14:18] == ["/login", "/set-password", "/predictions/changes", "/studies/STUDY/erase"]
    assert routes[18:] == ["/predictions/ID/view.bin", "/received", "/logged-in"]
    assert all(
        re.match(r"[0-9a-f]{32} 127\.0\.0\.1 GET \S+ (200|404) in=\d+ out=\d+ s=[\d.]+ upstream=", line)
        for line in lines
    )
    assert not re.search(f"meier|{IDENTIFIER}|name=|the-token", "".join(lines))


def test_the_error_log_is_silent_about_requests(folder: Path) -> None:
    with Front(folder, ONE) as front:
        front.ask(f"/predictions/{IDENTIFIER}?q=meier")
        front.ask("/metrics/meier-anna-1950.dcm", headers={})
    assert not re.search(f"meier|{IDENTIFIER}", (folder / "errors").read_text())


def test_its_counters_are_for_its_own_host_only(front: Front) -> None:
    def counters(address: str) -> bytes:
        with socket.create_connection((address, 8081), timeout=60) as asked:
            asked.sendall(b"GET /stub_status HTTP/1.0\r\n\r\n")
            return asked.makefile("rb").read()

    assert re.search(rb"Active connections: [1-9]", counters("127.0.0.1"))  # an earlier test's may just be closing
    with pytest.raises(ConnectionRefusedError):
        counters("127.0.0.2")


def test_speaks_http_2(front: Front) -> None:
    modern = ssl.create_default_context(cafile=str(front.directory / "certificate.pem"))
    modern.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=60) as plain,
        modern.wrap_socket(plain, server_hostname="127.0.0.1") as tunnel,
    ):
        assert (tunnel.selected_alpn_protocol(), tunnel.version()) == ("h2", "TLSv1.3")
