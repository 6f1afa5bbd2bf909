"""The front door's certificate, checked by OpenSSL and Python."""

import re
import shutil
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.aws.configuration import certificate as tls

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = ("198.51.100.7", "xray.example.org")


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    return tls.make(NAMES, NOW, "ward")


@pytest.fixture
def files(tmp_path: Path, pair: tuple[bytes, bytes]) -> tuple[Path, Path]:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(pair[0])
    key.write_bytes(pair[1])
    return certificate, key


def handshake(files: tuple[Path, Path], name: str, flags: ssl.VerifyFlags) -> str:
    """One TLS handshake over a pair of sockets; the client trusts this certificate and nothing else."""
    import socket

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*files)
    client = ssl.create_default_context(cafile=str(files[0]))
    client.verify_flags |= flags
    server_end, client_end = socket.socketpair()
    server_end.settimeout(30)
    client_end.settimeout(30)

    def serve() -> None:
        try:
            with server.wrap_socket(server_end, server_side=True) as wrapped:
                wrapped.recv(1)
        except OSError:
            server_end.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(client_end, server_hostname=name) as wrapped:
            version = wrapped.version()
            wrapped.sendall(b"x")
            return str(version)
    finally:
        client_end.close()
        thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_a_browser_that_trusts_it_accepts_it_for_each_of_its_names(files: tuple[Path, Path], name: str) -> None:
    assert handshake(files, name, ssl.VerifyFlags.VERIFY_X509_STRICT) == "TLSv1.3"


@pytest.mark.parametrize("name", ["198.51.100.8", "ward", "other.xray.example.org"])
def test_and_for_no_other(files: tuple[Path, Path], name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(files, name, ssl.VerifyFlags.VERIFY_DEFAULT)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed: apt-get install openssl")
def test_openssl_reads_the_desired_names_and_dates(files: tuple[Path, Path]) -> None:
    words = ["openssl", "x509", "-in", str(files[0]), "-noout", "-text"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for expected in ("prime256v1", "CA:FALSE", "TLS Web Server Authentication", "IP Address:198.51.100.7",
                   "DNS:xray.example.org", "ecdsa-with-SHA256"):  # fmt: skip
        assert expected in text
    assert re.search("CN ?= ?ward", text)  # OpenSSL 3.0 writes the blanks, 3.2 does not
    usage = text.partition("X509v3 Key Usage: critical\n")[2].splitlines()[0]
    assert usage.strip() == "Digital Signature"
    words = ["openssl", "verify", "-CAfile", str(files[0]), "-purpose", "sslserver", str(files[0])]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_it_serves_until_a_month_before_its_end(pair: tuple[bytes, bytes]) -> None:
    assert tls.days_left(pair[0], NOW) == 365
    assert tls.fits(pair[0], NAMES, NOW) and tls.fits(pair[0], NAMES[:1], NOW)
    assert not tls.fits(pair[0], (*NAMES, "198.51.100.8"), NOW)
    assert tls.fits(pair[0], NAMES, NOW + timedelta(days=335))
    assert not tls.fits(pair[0], NAMES, NOW + timedelta(days=335, seconds=1))
    assert tls.fits(pair[0], NAMES, NOW + timedelta(days=364), renew_days=1)
    assert not tls.fits(pair[0], NAMES, NOW - timedelta(days=1))
    assert tls.days_left(pair[0], NOW + timedelta(days=366)) == -1


def test_the_certificate_is_renewed_only_when_necessary(tmp_path: Path) -> None:
    def kept(names: tuple[str, ...] = NAMES, days: int = 0) -> tuple[bytes, bytes]:
        pair = tls.load_or_make(tmp_path / "tls", names, NOW + timedelta(days=days), "ward")
        tls.save(tmp_path / "tls", *pair)
        return pair

    tls.load_or_make(tmp_path / "tls", NAMES, NOW, "ward")
    assert list(tmp_path.iterdir()) == []  # whoever only looks saves nothing
    first = kept()
    assert kept() == first and kept(days=300) == first
    assert (tmp_path / "tls" / tls.KEY).stat().st_mode & 0o777 == 0o600
    late = kept(days=340)
    assert late != first and kept(days=340) == late
    moved = kept(("198.51.100.9",), days=340)
    assert moved != late and tls.missing(moved[0], ["198.51.100.9"]) == []
    (tmp_path / "tls" / tls.CERTIFICATE).write_bytes(late[0])  # of another key: a kill between the two files
    assert kept(days=340) not in (late, moved)
    for broken in (tls.CERTIFICATE, tls.KEY):
        (tmp_path / "tls" / broken).write_bytes(b"x")
        assert kept(days=340)[0].startswith(b"-----BEGIN")
        (tmp_path / "tls" / broken).unlink()
        assert kept(days=340)[1].startswith(b"-----BEGIN")


def signed(names: list[str] | None, begin: int = -1, end: int = 90, encrypt: bool = False) -> tuple[bytes, bytes]:
    """A certificate of another issuer, valid from `begin` to `end` days from now."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "xray.example.org")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW + timedelta(days=begin))
    builder = builder.not_valid_after(NOW + timedelta(days=end))
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    pem = serialization.Encoding.PEM
    lock: Any = serialization.BestAvailableEncryption(b"secret") if encrypt else serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, lock)
    return builder.sign(key, hashes.SHA256()).public_bytes(pem), secret


def given(tmp_path: Path, certificate: bytes, key: bytes, *names: str) -> tuple[bytes, bytes]:
    (tmp_path / "c").write_bytes(certificate)
    (tmp_path / "k").write_bytes(key)
    return tls.read_user_certificate(tmp_path / "c", tmp_path / "k", names or ("xray.example.org",), NOW)


@pytest.mark.parametrize("names", [["xray.example.org"], ["a.b", "XRAY.example.org"], ["*.example.org"]])
def test_an_own_certificate_is_taken_with_its_chain(
    tmp_path: Path, names: list[str], pair: tuple[bytes, bytes]
) -> None:
    certificate, key = signed(names)
    assert given(tmp_path, certificate + pair[0], key) == (certificate + pair[0], key)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"names": None}, "does not cover xray.example.org"),  # the common name alone has not counted since 2017
        ({"names": ["example.org"]}, "does not cover xray.example.org"),
        ({"names": ["*.org"]}, "does not cover xray.example.org"),
        ({"names": ["xray.example.org"], "end": 0}, "expired on"),
        ({"names": ["xray.example.org"], "begin": 2}, "valid only from"),
        ({"names": ["xray.example.org"], "encrypt": True}, "passphrase"),
    ],
)
def test_an_invalid_own_certificate_is_refused_with_the_reason(
    tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(PneumoError, match=words) as caught:
        given(tmp_path, *signed(**wrong))
    assert caught.value.code == Exit.USAGE and caught.value.hint


def test_a_key_that_does_not_match_the_certificate_is_refused(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    certificate, key = signed(["xray.example.org"])
    with pytest.raises(PneumoError, match="is not the key of the first certificate"):
        given(tmp_path, pair[0] + certificate, key)
    for broken in ((b"x", key), (certificate, b"x"), (key, certificate), (b"", b"")):
        with pytest.raises(PneumoError, match="not a certificate and a key in PEM"):
            given(tmp_path, *broken)
    with pytest.raises(PneumoError, match=r"nowhere.pem cannot be read: No such file") as caught:
        tls.read_user_certificate(tmp_path / "nowhere.pem", tmp_path / "k", NAMES, NOW)
    assert caught.value.code == Exit.USAGE
