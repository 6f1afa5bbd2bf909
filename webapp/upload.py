"""Take files in without letting them fill the memory, and leave nothing of them behind."""

from tempfile import SpooledTemporaryFile
from typing import IO

from flask import Request

_IN_MEMORY = 2 * 1024 * 1024  # bytes of one file; nearly all X-rays are smaller


class UploadRequest(Request):
    """A request whose small files stay in memory and whose large ones go to disk, closed however it ends."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        stream = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed by close)
        # Werkzeug forgets the files read so far when a later part is refused.
        self.__dict__.setdefault("_streams", []).append(stream)
        return stream

    def close(self) -> None:
        """Close every file that came."""
        super().close()
        for stream in self.__dict__.get("_streams", ()):
            stream.close()
