"""Change the bundle.json of a bundle, as a test of its check needs it."""

import base64
import hashlib
import json
import struct
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


def packed(count: int, value: float = 0.5) -> str:
    """float32 values as a bundle holds them."""
    return base64.b64encode(struct.pack("<f", value) * count).decode()


def classifier(count: int) -> dict[str, Any]:
    """A classifier of `count` statistics, as a bundle holds it: one hidden layer of two units."""
    layers = {"layers": [count, 2, 1], "weights": [packed(2 * count), packed(2)], "biases": [packed(2), packed(1)]}
    return {"mean": [0.0] * count, "spread": [1.0] * count, **layers, "limit": -2.5}
