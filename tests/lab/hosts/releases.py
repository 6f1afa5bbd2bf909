"""Good and bad releases for tests, made from this checkout; and the release that a host serves."""

import json
import shutil
from pathlib import Path

from model import bundle
from tests.lab.machine.lab import Lab
from tests.lab.machine.places import ROOT

CREATED = "def create_app(config: Mapping[str, object] | None = None) -> Flask:\n"
DOCSTRING = '    """Spoiled by a test."""\n'
HARMLESS = "    # no change at all\n"
BROKEN = '    raise RuntimeError("broken by a test")\n'
# Passes every check but the last: it exits when gunicorn starts it.
CRASHES = '    import sys\n    if "gunicorn.arbiter" in sys.modules:\n        raise RuntimeError("broken by a test")\n'
KINDS = {"api": ("app", "pneumoctl-api"), "web": ("web", "pneumoctl-ui")}


def checkout(directory: Path, kind: str, change: str, mark: str = "") -> Path:
    """A copy of this checkout's code in which the application's factory begins with `change`."""
    for name in ("webapp", "model"):
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    path = directory / "webapp" / ("ui" if kind == "web" else "api") / "__init__.py"
    code = path.read_text()
    assert code.count(CREATED) == 1
    path.write_text(code.replace(CREATED, f"{CREATED}{DOCSTRING}{change}    # {mark}\n"))
    return directory


def relabelled(directory: Path, name: str, off: float = 0.0) -> Path:
    """The shipped model under another name. `off`: added to the expected score of its known picture."""
    shutil.copytree(bundle.pretrained(), directory, ignore=shutil.ignore_patterns(bundle.MANIFEST))
    manifest = json.loads((bundle.pretrained() / bundle.MANIFEST).read_text())
    known_picture = manifest["known_picture"]
    known_picture["probability"] += off if known_picture["probability"] + off < 1 else -off
    bundle.write(directory, {**manifest, "name": name})
    return directory


def served(lab: Lab, host: str) -> dict[str, str]:
    """The releases that run on a host, `code` and, if it has one, `model`: those of its processes, not of its links."""
    unit = KINDS["web" if host.startswith("web") else "api"][1]
    script = f'tr "\\0" "\\n" </proc/$(systemctl show -P MainPID {unit})/environ'
    lines = dict(
        line.split("=", 1) for line in lab.fault.run_on_host(host, ["sh", "-c", script]).splitlines() if "=" in line
    )
    served_by = {"code": lines["PYTHONPATH"], "model": lines.get("MODEL_BUNDLE", "")}
    return {name: Path(path).name for name, path in served_by.items() if path}
