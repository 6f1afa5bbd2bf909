"""A backup is an export in the bucket, written with the host's role, and skipped while nothing changes."""

import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.webapp.api.records import put, record, settings
from tests.webapp.servers import RedisServer
from webapp.api import backup, s3_upload
from webapp.api.s3_upload import Bucket, Credentials, UploadFailed
from webapp.api.storage.store_copy import StoreCopy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROLE = {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "secret/of+the=role", "Token": "token=="}


class Service(http.server.BaseHTTPRequestHandler):
    """The metadata service and S3 on one port. `objects`: key -> (headers, body)."""

    objects: dict[str, tuple[dict[str, str], bytes]]
    status = 200

    def do_PUT(self) -> None:
        """Give a token, or store an object."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/latest/api/token":
            self._say(200, b"a-token")
            return
        self.objects[self.path] = ({name.lower(): value for name, value in self.headers.items()}, body)
        self._say(self.status, b"")

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


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Service]]:
    """The services, on which the metadata address is."""
    kind = type("OneService", (Service,), {"objects": {}, "status": 200})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        kind.address = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        role = s3_upload.role_credentials
        monkeypatch.setattr(s3_upload, "role_credentials", lambda: role(kind.address))
        yield kind
        server.shutdown()


@pytest.fixture
def store(redis_server: RedisServer) -> StoreCopy:
    """A store with one result."""
    made = StoreCopy.open(settings(redis_server.port))
    put(made, record(1))
    return made


def test_a_backup_is_an_export_with_its_digest_and_is_made_again_only_after_a_change(store, service, tmp_path: Path):
    bucket, state = Bucket("the-bucket", "eu-west-1", f"http://{service.address}"), tmp_path / "last.json"
    assert backup.backup(store, bucket, state, NOW) == "backed up 1 results, 1 pictures, 0 reviews"
    ((path, (headers, body)),) = service.objects.items()
    assert path == "/the-bucket/backups/results/20260102.tar"
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        manifest = json.loads(packed.extractfile("manifest.json").read())
    assert headers["x-amz-meta-contents"] == manifest["contents"] == store.summary()["contents"]
    assert backup.backup(store, bucket, state, NOW + timedelta(hours=23)).startswith("unchanged")
    assert backup.backup(store, bucket, state, NOW + timedelta(hours=25)).startswith("backed up 1")
    put(store, record(2))
    assert backup.backup(store, bucket, state, NOW + timedelta(hours=26)).startswith("backed up 2")
    assert [each.rpartition("/")[2] for each in service.objects] == ["20260102.tar", "20260103.tar"]


def test_a_backup_that_failed_is_not_recorded(store, service, tmp_path: Path):
    bucket, state = Bucket("the-bucket", "eu-west-1", f"http://{service.address}"), tmp_path / "last.json"
    service.status = 403
    with pytest.raises(UploadFailed, match=r"S3 refuses the object \(403"):
        backup.backup(store, bucket, state, NOW)
    assert not state.exists()
    with pytest.raises(UploadFailed, match="S3 does not answer"):
        s3_upload.put(Bucket("b", "r", "http://127.0.0.1:1"), "k", io.BytesIO(b"x"), {}, Credentials("a", "b", "c"))


def test_a_host_without_a_role_says_so():
    with pytest.raises(UploadFailed, match=r"gives no credentials \(Connection refused\)"):
        s3_upload.role_credentials("127.0.0.1:1")


def test_the_signature_is_the_one_of_botocore(service):
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as BotoCredentials

    bucket = Bucket("the-bucket", "eu-west-1", f"http://{service.address}")
    credentials = Credentials(ROLE["AccessKeyId"], ROLE["SecretAccessKey"], ROLE["Token"])
    s3_upload.put(bucket, "backups/results/a b.tar", io.BytesIO(b"content"), {"contents": "ab12"}, credentials)
    ((path, (headers, body)),) = service.objects.items()
    assert body == b"content"
    signed = {name: value for name, value in headers.items() if name.startswith("x-amz-meta")}
    request = AWSRequest("PUT", f"http://{service.address}{path}", headers=signed, data=b"content")
    request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    auth = S3SigV4Auth(BotoCredentials(*(ROLE[name] for name in ROLE)), "s3", "eu-west-1")
    request.context["timestamp"] = headers["x-amz-date"]
    request.headers["X-Amz-Date"] = headers["x-amz-date"]
    request.headers["X-Amz-Security-Token"] = credentials.token
    text = auth.string_to_sign(request, auth.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={auth.signature(text, request)}")


def test_the_address_is_the_regions():
    assert Bucket("b", "eu-west-1").url.geturl() == "https://s3.eu-west-1.amazonaws.com/b"
    assert Bucket("b", "cn-north-1").url.netloc == "s3.cn-north-1.amazonaws.com.cn"
