"""A backup is an export in the bucket, written with the host's role, and skipped while nothing changes."""

import http.server
import io
import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.serving import serving
from tests.webapp.api.records import put, record, settings
from tests.webapp.servers import RedisServer
from webapp.api import backup
from webapp.api.backup import Bucket, UploadFailed
from webapp.api.storage.store_copy import StoreCopy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROLE = {"Code": "Success", "AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "secret/of+the=role", "Token": "token=="}
ROLE |= {"Expiration": "2099-01-01T00:00:00Z"}
BUCKET = Bucket("the-bucket", "eu-west-1")


class Service(http.server.BaseHTTPRequestHandler):
    """The metadata service and S3 on one port. `objects`: key -> (headers, body)."""

    protocol_version = "HTTP/1.1"  # for `Expect: 100-continue`
    objects: dict[str, tuple[dict[str, str], bytes]]
    status = 200

    def do_PUT(self) -> None:
        """Give a token, or store an object."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/latest/api/token":
            self._say(200, b"a-token")
            return
        self.objects[self.path] = ({name.lower(): value for name, value in self.headers.items()}, body)
        self._say(self.status, b"" if self.status == 200 else b"<Error><Code>AccessDenied</Code></Error>")

    def do_GET(self) -> None:
        """Give the role, then its credentials."""
        known = self.headers.get("X-aws-ec2-metadata-token") == "a-token"
        text = "the-role" if self.path.endswith("security-credentials/") else json.dumps(ROLE)
        self._say(200 if known else 401, text.encode())

    def _say(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(autouse=True)
def _no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a host: only the metadata service has credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Service]]:
    """The services, on which the metadata address is."""
    kind = type("OneService", (Service,), {"objects": {}, "status": 200})
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)) as server:
        kind.address = f"127.0.0.1:{server.server_address[1]}"
        for name in ("AWS_ENDPOINT_URL", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
            monkeypatch.setenv(name, f"http://{kind.address}")
        yield kind


@pytest.fixture
def store(redis_server: RedisServer) -> StoreCopy:
    """A store with one result."""
    made = StoreCopy.open(settings(redis_server.port))
    put(made, record(1))
    return made


def test_a_backup_is_an_export_with_its_digest_written_with_the_role_of_the_host(store, service, tmp_path: Path):
    assert backup.backup(store, BUCKET, tmp_path / "last.json", NOW) == "backed up 1 results, 1 pictures, 0 reviews"
    ((path, (headers, body)),) = service.objects.items()
    assert path == "/the-bucket/backups/results/20260102.tar"
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        manifest = json.loads(packed.extractfile("manifest.json").read())
    assert headers["x-amz-meta-contents"] == manifest["contents"] == store.summary()["contents"]
    assert "Credential=AKIAEXAMPLE/" in headers["authorization"] and headers["x-amz-security-token"] == "token=="
    assert any(name.startswith("x-amz-checksum-") for name in headers)  # S3 compares it


def test_a_day_has_one_backup_that_is_kept_and_later_ones_replace_the_latest(store, service, tmp_path: Path):
    def after(hours: int) -> str:
        done = backup.backup(store, BUCKET, tmp_path / "last.json", NOW + timedelta(hours=hours))
        written.append([path.rpartition("/")[2] for path in service.objects])
        service.objects.clear()
        return done

    written: list[list[str]] = []
    assert after(0).startswith("backed up 1")
    assert after(1).startswith("unchanged")
    put(store, record(2))
    assert after(2).startswith("backed up 2")
    put(store, record(3))
    assert after(3).startswith("backed up 3")
    assert after(26).startswith("unchanged")
    assert after(27).startswith("backed up 3")
    assert written == [["20260102.tar"], [], ["latest.tar"], ["latest.tar"], [], ["20260103.tar"]]


@pytest.mark.parametrize(
    "state", ["{", "[]", '{"contents": "x"}', '{"contents": "x", "at": "2026-01-02T03:00:00+00:00"}']
)
def test_a_state_that_is_damaged_or_of_an_earlier_version_has_a_backup_made(store, service, tmp_path: Path, state: str):
    (tmp_path / "last.json").write_text(state)
    assert backup.backup(store, BUCKET, tmp_path / "last.json", NOW).startswith("backed up 1")
    assert [each.rpartition("/")[2] for each in service.objects] == ["20260102.tar"]


def test_a_backup_that_failed_is_not_recorded(store, service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    state = tmp_path / "last.json"
    service.status = 403
    with pytest.raises(UploadFailed, match=r"^S3 refuses the object \(AccessDenied\)$"):
        backup.backup(store, BUCKET, state, NOW)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(UploadFailed, match=r"^the object cannot be sent to S3 \(EndpointConnectionError\)$"):
        backup.backup(store, BUCKET, state, NOW)
    assert not state.exists()


def test_a_host_without_a_role_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UploadFailed, match=r"\(NoCredentialsError\)"):
        BUCKET.put("key", io.BytesIO(b"x"), {})
