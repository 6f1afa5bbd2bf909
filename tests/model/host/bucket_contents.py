"""Checkpoints and data sets that tests put into a bucket."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from model.training.checkpoint import Checkpoints

NAME, REGION, RUN = "our-bucket", "eu-west-1", "20261123-053100-a1b2"


def saved(run: Path, step: int) -> Path:
    """A checkpoint of a run, with its settings."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "settings.json").write_text("{}")
    return Checkpoints(run / "checkpoints", "print").save(step, {"a": np.arange(step)}, {})


def listed(s3: Any, *files: tuple[str, bytes]) -> str:
    """A manifest in the bucket, and the contents that it names."""
    entries = []
    for path, content in files:
        digest = hashlib.sha256(content).hexdigest()
        s3.put_object(Bucket=NAME, Key=f"data/objects/{digest}", Body=content)
        entries.append({"path": path, "sha256": digest, "size": len(content)})
    manifest = json.dumps({"name": "drawings", "files": entries}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    s3.put_object(Bucket=NAME, Key=f"data/manifests/{digest}.json", Body=manifest)
    return digest
