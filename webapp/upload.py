"""Receive uploads without filling the memory, and delete their temporary files after the request."""

from tempfile import SpooledTemporaryFile
from typing import IO

from flask import Request

_MAX_IN_MEMORY = 2 * 1024 * 1024  # bytes per file; nearly all X-rays are smaller


class UploadRequest(Request):
    """A request that holds small files in memory and large ones on disk, and closes them even if it fails."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        stream = SpooledTemporaryFile(max_size=_MAX_IN_MEMORY)  # noqa: SIM115 (closed by close)
        # When Werkzeug rejects a later part, it drops the files read so far without closing them.
        self.__dict__.setdefault("_streams", []).append(stream)
        return stream

    def close(self) -> None:
        """Close every uploaded file."""
        super().close()
        for stream in self.__dict__.get("_streams", ()):
            stream.close()
