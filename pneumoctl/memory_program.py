"""Python programs that are sent to a host and run there from memory: a zip on stdin that leaves no file."""

import io
import zipfile
from collections.abc import Mapping

# Reads exactly the zip from stdin into an anonymous file in memory; what follows is the program's input.
PRELUDE = """import os, sys
program, left = os.memfd_create("pneumoctl"), int(sys.argv[1])
while left:
    part = os.read(0, left)
    left -= len(part) or sys.exit("the program did not arrive completely")
    os.write(program, part)
sys.path.insert(0, "/proc/self/fd/%d" % program)
"""


def pack(sources: Mapping[str, bytes]) -> bytes:
    """The zip of these files by path, with an empty package in each folder that has none; equal for equal sources."""
    parents = {"/".join(path.split("/")[:depth]) for path in sources for depth in range(1, path.count("/") + 1)}
    packages = {f"{parent}/__init__.py": b"" for parent in parents}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, source in sorted({**packages, **sources}.items()):
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), source, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
