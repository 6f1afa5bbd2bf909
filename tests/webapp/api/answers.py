"""The problem documents that tests expect, and a file that declares a false size."""

import struct
import zlib


def problem(answer, status: int, code: str) -> dict:
    """The problem document of a response, which must be complete."""
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/problem+json"
    document = answer.get_json()
    assert set(document) == {"type", "title", "status", "detail", "code", "instance"}
    assert (document["status"], document["code"]) == (status, code)
    assert document["instance"].endswith(answer.headers["X-Request-ID"])
    return document


def claims_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 4096)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
