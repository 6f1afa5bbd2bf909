"""The login file of the page: reproducible, and accepted by the C library and a real nginx."""

import base64
import ctypes
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pneumoctl.stack.secrets import Secrets
from pneumoctl.targets.aws.configuration.htpasswd import line
from tests.templates.programs import program

PASSWORD = Secrets("a", "b", "c").web_password


def test_a_line_is_the_same_at_every_rendering_and_another_for_another_user_or_password() -> None:
    assert line("clinician", PASSWORD) == line("clinician", PASSWORD)
    others = {line("clinician", PASSWORD), line("other", PASSWORD), line("clinician", PASSWORD + "x")}
    assert len(others) == 3 == len({one.partition(":")[2][:29] for one in others})  # the salts, too
    assert line("clinician", PASSWORD).startswith("clinician:$2b$05$") and PASSWORD not in line("clinician", PASSWORD)


def test_the_c_library_finds_the_same_hash() -> None:
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    for number in range(20):
        password = Secrets.generate().web_password if number else PASSWORD
        hashed = line("clinician", password).partition(":")[2].encode()
        assert crypt(password.encode(), hashed) == hashed
        assert crypt(b"wrong" + password.encode(), hashed) != hashed


@pytest.fixture
def door(tmp_path: Path) -> Iterator[str]:
    """A real nginx that wants the login; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "htpasswd").write_text(line("clinician", PASSWORD) + "\n")
    (tmp_path / "page").mkdir(mode=0o755)
    (tmp_path / "page" / "index.html").write_text("the page")
    owner = "" if os.geteuid() else "user root;"  # else its workers may not read the test's files
    places = "".join(
        f"{one}_temp_path {tmp_path}/{one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"{owner} daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}"
        f"http {{ access_log off; {places} server {{ listen 127.0.0.1:{port}; root {tmp_path}/page;"
        f'auth_basic "x-ray"; auth_basic_user_file {tmp_path}/htpasswd; }} }}'
    )
    child = subprocess.Popen([program("nginx"), "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"])
    try:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and child.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        child.terminate()
        child.wait(120)


def asked(url: str, login: str) -> int:
    request = urllib.request.Request(url)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_nginx_lets_in_who_knows_the_password_and_nobody_else(door: str) -> None:
    assert asked(door, f"clinician:{PASSWORD}") == 200
    wrong = ["", "clinician:", "clinician:wrong", f"other:{PASSWORD}", f"clinician:{PASSWORD[:-1]}"]
    assert [asked(door, login) for login in wrong] == [401] * 5
