"""Whether a host's releases are unchanged, judged by the digests in their names and file lists.

A release of code is named after the digest of its files, and its packages have file lists of their own. A model bundle
is named after the digest of its manifest, which lists the bundle's files.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from pathlib import Path

from pneumoctl.files import release_digest, sha256, tree_digest
from pneumoctl.ssh.on_host import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoctl.ssh.on_host import Document
    from pneumoctl.ssh.on_host.streams import Trees

Difference = tuple[str, str]  # ("differs" | "missing" | "added", path)


def check_releases(request: Document, _: Trees) -> Document:
    """Which files differ from the deployed ones."""
    return {"differences": differences(request["roots"])}


def differences(roots: list[str]) -> list[Difference]:
    """Every file of these releases that differs from the deployed one."""
    changed: list[Difference] = []
    for root in map(Path, roots):
        try:
            changed += _bundle(root) if (root / "bundle.json").exists() else _code(root)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a file list itself was damaged
            changed.append(("differs", str(root)))
    return changed


def _code(root: Path) -> Iterator[Difference]:
    if release_digest(tree_digest(root / name) for name in ("webapp", "model")) != root.name:
        yield "differs", str(root)
    for packages in (root / "venv").glob("lib/python3*/site-packages"):
        yield from _environment(packages)


def _environment(packages: Path) -> Iterator[Difference]:
    """The files that differ from those that pip installed."""
    listed = set()
    for record in packages.glob("*.dist-info/RECORD"):
        with record.open(newline="") as rows:
            for name, digest, _ in csv.reader(rows):
                file = packages / name
                listed.add(file)
                kind, _, value = digest.partition("=")
                if not digest:
                    continue
                if not file.is_file():
                    yield "missing", str(file)
                elif kind == "sha256" and _base64(sha256(file)) != value:
                    yield "differs", str(file)
    for file in packages.rglob("*"):
        if file.is_file() and file not in listed and "__pycache__" not in file.parts:
            yield "added", str(file)


def _base64(digest: str) -> str:
    """A hexadecimal digest as pip writes it into RECORD."""
    return base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")


def _bundle(root: Path) -> Iterator[Difference]:
    manifest = json.loads((root / "bundle.json").read_text())
    version = manifest.pop("version")
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    expected = f"{manifest['name']}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"
    if expected != root.name or not expected.endswith(version):
        yield "differs", str(root / "bundle.json")
    for name, digest in manifest["files"].items():
        if not (root / name).is_file():
            yield "missing", str(root / name)
        elif sha256(root / name) != digest:
            yield "differs", str(root / name)
