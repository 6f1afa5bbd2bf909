"""Change the bundle.json of a bundle, as a test of its check needs it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rewrite(bundle_dir: Path, change: Callable[[dict[str, Any]], object], honest: bool = True) -> None:
    """Change bundle.json manually; `honest` updates the version hash."""
    path = bundle_dir / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if honest:
        rest = {key: value for key, value in manifest.items() if key != "version"}
        canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        manifest["version"] = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    path.write_text(json.dumps(manifest))


def put(dotted: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *parents, last = dotted.split(".")
        for key in parents:
            manifest = manifest[key]
        manifest[last] = value

    return change
