"""Write a file to an S3 bucket as the role of this EC2 host, with the standard library only (Signature Version 4)."""

import hashlib
import hmac
import http.client
import io
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

_METADATA = "169.254.169.254"
_TIMEOUT_S = 60.0
_METADATA_TIMEOUT_S = 5.0


class UploadFailed(Exception):
    """The object was not written; the message says why, without its key."""


@dataclass(frozen=True)
class Credentials:
    """The temporary credentials of a role."""

    key: str
    secret: str
    token: str


@dataclass(frozen=True)
class Bucket:
    """A bucket. `endpoint`: where S3 answers, empty for the one of the region."""

    name: str
    region: str
    endpoint: str = ""

    @property
    def url(self) -> urllib.parse.SplitResult:
        """Where the bucket's objects lie."""
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return urllib.parse.urlsplit(f"{self.endpoint or f'https://s3.{self.region}.{suffix}'}/{self.name}")


def role_credentials(host: str = _METADATA) -> Credentials:
    """The credentials of the host's role, from its metadata service (IMDSv2). Raises UploadFailed."""
    try:
        age = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = {"X-aws-ec2-metadata-token": _ask(host, "PUT", "/latest/api/token", age)}
        path = "/latest/meta-data/iam/security-credentials/"
        found = json.loads(_ask(host, "GET", path + _ask(host, "GET", path, token).split()[0], token))
        return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        raise UploadFailed(f"the metadata service gives no credentials ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The system's words for a failed connection. An invalid answer is not quoted: it may hold credentials."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    return error.strerror or str(error) if isinstance(error, OSError) else "its answer is not valid"


def _ask(host: str, method: str, path: str, headers: Mapping[str, str]) -> str:
    connection = http.client.HTTPConnection(host, timeout=_METADATA_TIMEOUT_S)
    try:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise ValueError(answer.status)
        return text
    finally:
        connection.close()


def put(bucket: Bucket, key: str, body: IO[bytes], metadata: Mapping[str, str], credentials: Credentials) -> None:
    """Write an object with its metadata; S3 compares the digest of the body. Raises UploadFailed."""
    size = body.seek(0, io.SEEK_END)
    body.seek(0)
    digest = hashlib.file_digest(body, "sha256").hexdigest()
    body.seek(0)
    url = bucket.url
    path = f"{url.path}/{urllib.parse.quote(key)}"
    headers = {
        "host": url.netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-security-token": credentials.token,
        **{f"x-amz-meta-{name}": value for name, value in metadata.items()},
    }
    headers["authorization"] = _authorization(path, headers, bucket.region, credentials)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("PUT", path, body, {**headers, "content-length": str(size)})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise UploadFailed(f"S3 does not answer ({_reason(error)})") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise UploadFailed(f"S3 refuses the object ({answer.status} {answer.reason})")


def _authorization(path: str, headers: Mapping[str, str], region: str, credentials: Credentials) -> str:
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"PUT\n{path}\n\n{lines}\n{names}\n{headers['x-amz-content-sha256']}"
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, SignedHeaders={names}, Signature={signature}"
