"""Send files on without holding them in memory: a multipart body that is read while it is sent."""

import os
import secrets
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from urllib3.fields import format_multipart_header_param

_CHUNK = 64 * 1024


class Multipart:
    """A multipart/form-data body (RFC 7578) of files in the field "file"; may be iterated again for a retry."""

    def __init__(self, files: Sequence[tuple[str, BinaryIO]]) -> None:
        """`files` are names and seekable binary streams."""
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts = [(_head(boundary, name), stream) for name, stream in files]
        self._end = f"--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        sizes = (len(head) + stream.seek(0, os.SEEK_END) + len(b"\r\n") for head, stream in self._parts)
        return sum(sizes) + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for head, stream in self._parts:
            yield head
            stream.seek(0)
            while chunk := stream.read(_CHUNK):
                yield chunk
            yield b"\r\n"
        yield self._end


def _head(boundary: str, name: str) -> bytes:
    # urllib3 escapes quotes and line ends as browsers do, so a name cannot end its header.
    disposition = f'form-data; name="file"; {format_multipart_header_param("filename", name)}'
    lines = (f"--{boundary}", f"Content-Disposition: {disposition}", "Content-Type: application/octet-stream", "", "")
    return "\r\n".join(lines).encode("utf-8", "replace")
