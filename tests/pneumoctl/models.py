"""Bundles for tests of the registry: the tiny bundle with other figures."""

import json
import shutil
from pathlib import Path
from typing import Any

from model import bundle
from model.evaluation.intervals import proportion

DATA = json.loads((bundle.pretrained() / bundle.MANIFEST).read_text())["data"]["manifest_sha256"]  # the shipped model's


def made(
    tiny: Path,
    folder: Path,
    positives: int | None,
    of: int = 390,
    data: str = DATA,
    validation: dict[str, Any] | None = None,
    spared: int = 80,
    auc: int = 985,
    **more: Any,
) -> Path:
    """A bundle that found so many of so many cases on the test of `data`; None: it was never tested.

    `spared`: of 100 pictures without pneumonia, those below the threshold; `auc`: in thousandths.
    """
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(tiny, folder)
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    (folder / bundle.MANIFEST).unlink()
    figures = None
    if positives is not None:
        other = {"auc": proportion(auc, 1000), "specificity": proportion(spared, 100)}
        figures = {"n": of, "sensitivity": proportion(positives, of), **other}
    manifest["metrics"] = {"validation": validation or {}, "test": figures}
    manifest["data"] = {**manifest["data"], "name": "xrays", "manifest_sha256": data}
    return bundle.write(folder, {**manifest, **more}).directory
