"""The program that reads and fills a store: sent to the host of the store, so that its release does not matter."""

import functools

from pneumoctl import memory_program
from pneumoctl.files import package

_RUN_FROM_STDIN = f"""{memory_program.PRELUDE}import runpy
module = sys.argv[2]
sys.argv = [module, *sys.argv[3:]]
runpy.run_module(module, run_name="__main__", alter_sys=True)"""
# What the programs import; beyond that they need the package `redis`, which the API's environment has. The
# packages' own __init__ are left out: they would import the whole API.
_STORAGE = (
    *(
        "changes",
        "connection",
        "copied_items",
        "erasure",
        "errors",
        "film_queue",
        "keys",
        "listing",
        "queued_films",
        "recording",
        "records",
        "result_parts",
        "retention",
        "rewriting",
        "reviews",
        "seal",
        "store",
        "store_copy",
    ),
    *("trail", "trail_copy", "trail_end", "transactions", "usage"),
)
_SOURCES = {
    "webapp": (
        *("documents.py", "environment.py", "api/erase.py", "api/export.py", "api/restore.py", "api/settings.py"),
        *(f"api/storage/{name}.py" for name in _STORAGE),
    ),
    "model": ("operating_points_section.py", "schema.py", "serving/prediction.py"),
}
ERASE, EXPORT, RESTORE = "webapp.api.erase", "webapp.api.export", "webapp.api.restore"


def options(module: str, *arguments: str) -> tuple[str, ...]:
    """The arguments of Python; it expects `archive()` on stdin, then the input of the module."""
    return "-I", "-c", _RUN_FROM_STDIN, str(len(archive())), module, *arguments


@functools.cache  # read once: an upgrade of pneumoctl in the meantime takes effect with the next command
def archive() -> bytes:
    """The zip."""
    paths = [f"{name}/{file}" for name, files in _SOURCES.items() for file in files]
    return memory_program.pack({path: (package("webapp").parent / path).read_bytes() for path in paths})
