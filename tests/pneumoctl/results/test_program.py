"""The programs that run on the host of the store need only what they bring along, and the package `redis`."""

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from pneumoctl.results import program

_IMPORT = """
import importlib, sys
sent, installed, *modules = sys.argv[1:]
sys.path[:0] = [sent]
sys.path.append(installed)
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numpy", "flask", "pneumoctl"):
            raise ImportError(f"the programs must not need {name}")
sys.meta_path.insert(0, Nothing())
for each in modules:
    importlib.import_module(each)
mine = [module.__file__ for name, module in sys.modules.items() if name.startswith(("webapp", "model"))]
print(*filter(None, mine))
"""


def test_the_programs_import_all_that_is_sent_and_neither_numpy_nor_flask(tmp_path: Path) -> None:
    with zipfile.ZipFile(BytesIO(program.archive())) as sent:
        sent.extractall(tmp_path)
        files = {tmp_path / name for name in sent.namelist()}
    installed = Path(find_spec("redis").origin).parents[1]
    modules = (program.ERASE, program.EXPORT, program.RESTORE)
    command = [sys.executable, "-I", "-c", _IMPORT, str(tmp_path), str(installed), *modules]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stderr == ""
    imported = {Path(each) for each in ended.stdout.split()}
    assert {each for each in files if each.name != "__init__.py"} <= imported <= files
