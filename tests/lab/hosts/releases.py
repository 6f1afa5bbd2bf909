"""Good and bad releases for tests, made from this checkout; and the release that a host serves."""

import json
import shutil
from pathlib import Path

from model import bundle
from tests.lab.machine.lab import Lab
from tests.lab.machine.paths import ROOT

FACTORY = "def create_app(config: Mapping[str, object] | None = None) -> Flask:\n"
DOCSTRING = '    """Spoiled by a test."""\n'
NO_CHANGE = "    # no change at all\n"
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
    assert code.count(FACTORY) == 1
    path.write_text(code.replace(FACTORY, f"{FACTORY}{DOCSTRING}{change}    # {mark}\n"))
    return directory


def renamed_model(directory: Path, name: str, score_offset: float = 0.0) -> Path:
    """The shipped model under another name. `score_offset`: added to the expected score of its known picture."""
    shutil.copytree(bundle.pretrained(), directory, ignore=shutil.ignore_patterns(bundle.MANIFEST))
    manifest = json.loads((bundle.pretrained() / bundle.MANIFEST).read_text())
    known_picture = manifest["known_picture"]
    known_picture["probability"] += score_offset if known_picture["probability"] + score_offset < 1 else -score_offset
    bundle.write(directory, {**manifest, "name": name})
    return directory


def running_releases(lab: Lab, host: str) -> dict[str, str]:
    """The releases that run on a host, `code` and, if it has one, `model`: those of its processes, not of its links."""
    unit = KINDS["web" if host.startswith("web") else "api"][1]
    script = f'tr "\\0" "\\n" </proc/$(systemctl show -P MainPID {unit})/environ'
    lines = dict(
        line.split("=", 1) for line in lab.fault.run_on_host(host, ["sh", "-c", script]).splitlines() if "=" in line
    )
    paths = {"code": lines["PYTHONPATH"], "model": lines.get("MODEL_BUNDLE", "")}
    return {name: Path(path).name for name, path in paths.items() if path}
