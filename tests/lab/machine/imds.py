"""A host's metadata service (IMDSv2) on 169.254.169.254. It runs on the lab's hosts with an IAM role, with
their own Python.

It answers as EC2's service does about credentials, the instance and a spot interruption. The lab accepts any
credentials. A test writes the interruption notice to `/run/lab/spot-action`.
"""

import json
import secrets
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESS = "169.254.169.254"
SPOT = Path("/run/lab/spot-action")
INSTANCE = Path("/var/lib/cloud/data/instance-id")
TOKENS: set[str] = set()


def answer(path: str, region: str) -> str | None:
    """The content of a path below /latest; None: there is none."""
    if path == "meta-data/spot/instance-action":
        return SPOT.read_text() if SPOT.exists() else None
    until = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keys = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "lab", "SecretAccessKey": "lab", "Token": "lab"}
    documents = {
        "meta-data/iam/security-credentials/": "host",
        "meta-data/iam/security-credentials/host": json.dumps({**keys, "Expiration": until}),
        "meta-data/instance-id": INSTANCE.read_text().strip() if INSTANCE.exists() else "",
        "meta-data/placement/region": region,
    }
    return documents.get(path)


class Handler(BaseHTTPRequestHandler):
    """Gives tokens for PUT; answers other requests only with a token, as `http_tokens = required` does."""

    region = ""

    def do_PUT(self) -> None:
        """Give a token."""
        token = secrets.token_hex(8)
        TOKENS.add(token)
        self._say(200, token, ("X-aws-ec2-metadata-token-ttl-seconds", "21600"))

    def do_GET(self) -> None:
        """Answer requests with a valid token."""
        if self.headers.get("X-aws-ec2-metadata-token") not in TOKENS:
            self._say(401, "")
            return
        document = answer(self.path.removeprefix("/latest/"), self.region)
        self._say(404 if document is None else 200, document or "")

    def _say(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(text.encode())))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing: the answers contain credentials."""


if __name__ == "__main__":
    Handler.region = sys.argv[1]
    ThreadingHTTPServer((ADDRESS, 80), Handler).serve_forever()
