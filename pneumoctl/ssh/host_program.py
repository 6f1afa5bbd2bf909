"""The program that is sent to hosts, once a command: a zip that runs from memory and leaves no file on the host."""

import functools
import io
import zipfile
from pathlib import Path

from pneumoctl import files
from pneumoctl.ssh import on_host

# Reads exactly the zip from stdin into an anonymous file in memory and runs it; what follows is the agent's input. Its
# end is immediate: Python would take a tenth of the CPU time of a short command to delete every object.
_RUN_FROM_STDIN = f"""import os, sys
program, left = os.memfd_create("pneumoctl"), int(sys.argv[1])
while left:
    part = os.read(0, left)
    left -= len(part) or sys.exit("the program did not arrive completely")
    os.write(program, part)
sys.path.insert(0, "/proc/self/fd/%d" % program)
from {on_host.__name__}.agent import main
main()
os._exit(0)"""

_IMPORTED = ("atomic.py", "files.py")  # what on_host imports of pneumoctl


def command() -> tuple[str, ...]:
    """The host's command line; it expects `archive()` on stdin, then frames."""
    return "python3", "-IS", "-c", _RUN_FROM_STDIN, str(len(archive()))


@functools.cache  # read once: an upgrade of pneumoctl in the meantime takes effect with the next command
def archive() -> bytes:
    """The zip; the same bytes for the same sources."""
    package = on_host.__name__.replace(".", "/")
    modules = Path(on_host.__path__[0]).glob("*.py")
    sources = {f"{package}/{file.name}": file.read_bytes() for file in modules}
    sources |= {f"pneumoctl/{name}": Path(files.__file__).with_name(name).read_bytes() for name in _IMPORTED}
    parents = package.split("/")[:-1]
    sources |= {"/".join((*parents[: depth + 1], "__init__.py")): b"" for depth in range(len(parents))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, source in sorted(sources.items()):
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), source, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
