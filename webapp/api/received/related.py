"""Read a body of multipart/related (RFC 2387): Werkzeug and the standard library read forms and mail only."""

import re
from email.message import Message

from webapp.api.problems import Problem

TYPE = "application/dicom"
MAX_PARTS = 500
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046 5.1.1


def boundary(content_type: str) -> bytes:
    """The boundary of a body with DICOM instances. Raises Problem (400, 415) for one of another type."""
    header = _typed(content_type)
    kind = str(header.get_param("type", TYPE))
    if header.get_content_type() != "multipart/related" or kind.lower() != TYPE:
        raise _unsupported(f'Send multipart/related; type="{TYPE}".')
    found = str(header.get_param("boundary", ""))
    if not _BOUNDARY.fullmatch(found):
        raise _malformed("its Content-Type has no valid boundary")
    return found.encode("ascii")


def parts(body: bytes, limit: bytes) -> list[bytes]:
    """The contents of the parts, which are DICOM instances. Raises Problem (400, 413, 415)."""
    before, *rest = (b"\r\n" + body).split(b"\r\n--" + limit, MAX_PARTS + 2)
    del before  # a preamble, which is to be ignored
    if len(rest) > MAX_PARTS + 1:
        raise Problem(413, "too-many-files", f"At most {MAX_PARTS} instances are accepted per request.")
    if not rest or not rest[-1].startswith(b"--"):
        raise _malformed("it ends before its last boundary")
    if len(rest) == 1:
        raise _malformed("it has no part")
    return [_content(part) for part in rest[:-1]]


def _content(part: bytes) -> bytes:
    padding, _, after = part.partition(b"\r\n")
    if padding.strip(b" \t"):
        raise _malformed("a boundary is not alone in its line")
    if after.startswith(b"\r\n"):
        head, content = b"", after[2:]
    else:
        head, end, content = after.partition(b"\r\n\r\n")
        if not end:
            raise _malformed("a part has no content")
    fields = dict(line.partition(b":")[::2] for line in head.split(b"\r\n") if line)
    kind = next((value for name, value in fields.items() if name.strip().lower() == b"content-type"), TYPE.encode())
    if _typed(kind.decode("latin-1").strip()).get_content_type() != TYPE:
        raise _unsupported(f"Each part must be {TYPE}.")
    return content


def _typed(content_type: str) -> Message:
    header = Message()
    header["Content-Type"] = content_type
    return header


def _malformed(reason: str) -> Problem:
    return Problem(400, "bad-multipart", f"The body is not valid multipart/related: {reason}.")


def _unsupported(detail: str) -> Problem:
    return Problem(415, "unsupported-media-type", detail)
