"""The program that is sent to hosts, once a command: a zip that runs from memory and leaves no file on the host."""

import functools
from pathlib import Path

from pneumoctl import files, memory_program
from pneumoctl.ssh import on_host

# Its end is immediate: Python would take a tenth of the CPU time of a request to delete every object.
_RUN_FROM_STDIN = f"""{memory_program.PRELUDE}from {on_host.__name__}.agent import main
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
    return memory_program.pack(sources)
