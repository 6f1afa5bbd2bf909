"""Forward files without holding them in memory: a multipart body that is read while it is sent."""

import os
import secrets
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from urllib3.fields import format_multipart_header_param

_CHUNK = 64 * 1024


class Multipart:
    """A multipart/form-data body (RFC 7578) with files in the field "file"; can be iterated again for a retry."""

    def __init__(self, files: Sequence[tuple[str, BinaryIO]]) -> None:
        """`files` are names and seekable binary streams."""
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts = [(_header(boundary, name), stream) for name, stream in files]
        self._end = f"--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        sizes = (len(header) + stream.seek(0, os.SEEK_END) + len(b"\r\n") for header, stream in self._parts)
        return sum(sizes) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for header, stream in self._parts:
            yield header
            stream.seek(0)
            while chunk := stream.read(_CHUNK):
                yield chunk
            yield b"\r\n"
        yield self._end


def _header(boundary: str, name: str) -> bytes:
    # urllib3 escapes quotes and line breaks as browsers do, so a file name cannot break out of the header.
    disposition = f'form-data; name="file"; {format_multipart_header_param("filename", name)}'
    lines = (f"--{boundary}", f"Content-Disposition: {disposition}", "Content-Type: application/octet-stream", "", "")
    return "\r\n".join(lines).encode("utf-8", "replace")
