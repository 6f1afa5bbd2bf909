"""The zip that is sent to hosts: the same bytes every time, complete, and gone when it ends."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from pneumoctl.ssh import host_program, on_host


def test_the_same_sources_give_the_same_bytes() -> None:
    first = host_program.archive()
    host_program.archive.cache_clear()
    assert host_program.archive() == first


def zipped() -> set[str]:
    with zipfile.ZipFile(io.BytesIO(host_program.archive())) as packed:
        return set(packed.namelist())


def test_it_holds_every_module_of_on_host_and_compiles() -> None:
    names = zipped()
    with zipfile.ZipFile(io.BytesIO(host_program.archive())) as packed:
        for name in names:
            compile(packed.read(name), name, "exec")
    modules = {file.name for file in Path(on_host.__path__[0]).glob("*.py")}
    assert names == {
        "pneumoctl/__init__.py",
        "pneumoctl/atomic.py",
        "pneumoctl/files.py",
        "pneumoctl/ssh/__init__.py",
        *(f"pneumoctl/ssh/on_host/{name}" for name in modules),
    }


# In place of the agent's main(): every module of the zip is imported, and its file printed.
REPORT = """
from pneumoctl.ssh.on_host.operations import MODULES, module
for name in (*MODULES.values(), "download", "staged_files", "trees"):
    module(name)
print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("pneumoctl.")), sep="\\n", flush=True)"""


def test_every_module_comes_from_the_zip_and_nothing_is_written(tmp_path: Path) -> None:
    _, *options, program, size = host_program.command()
    argv = [sys.executable, *options, program.replace("\nmain()", REPORT), size]
    result = subprocess.run(
        argv, input=host_program.archive(), capture_output=True, cwd=tmp_path, timeout=600, check=True
    )
    paths = result.stdout.decode().split()
    assert len(paths) == len(set(paths)) == len(zipped()) - 1 and all(
        path.startswith("/proc/self/fd/") for path in paths
    )
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_was_cut_short_is_an_error(tmp_path: Path) -> None:
    argv = [sys.executable, *host_program.command()[1:]]
    cut = host_program.archive()[:-200]
    result = subprocess.run(argv, input=cut, capture_output=True, cwd=tmp_path, timeout=600, check=False)
    assert result.returncode != 0 and result.stdout == b""
