"""What is run on a host, by its own Python alone: whether its releases are still what their names and lists say.

A release of code is named by the digest of its files, its packages have lists of theirs, and a model's bundle is named
by the digest of its manifest, which lists its files.
"""

import base64
import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

NOT_COPIED = {"__pycache__", "pretrained"}


def sha256(file: Path) -> "hashlib._Hash":
    """Of a file's contents."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while part := source.read(1 << 20):
            digest.update(part)
    return digest


def listing(root: Path) -> str:
    """As plan.Tree has it."""
    lines = []
    for file in root.rglob("*"):
        inside = file.relative_to(root)
        if file.is_file() and not NOT_COPIED & set(inside.parts):
            lines.append((f"./{inside}".encode(), sha256(file).hexdigest().encode()))
    return hashlib.sha256(b"".join(digest + b"  " + name + b"\n" for name, digest in sorted(lines))).hexdigest()


def code(root: Path) -> Iterator[str]:
    """What differs in a release of code."""
    trees = "".join(listing(root / name) for name in ("webapp", "model"))
    if hashlib.sha256(trees.encode()).hexdigest()[:12] != root.name:
        yield f"differs {root}"
    for packages in (root / "venv").glob("lib/python3*/site-packages"):
        yield from environment(packages)


def environment(packages: Path) -> Iterator[str]:
    """What differs in an environment from what pip put there."""
    known = set()
    for record in packages.glob("*.dist-info/RECORD"):
        with record.open(newline="") as rows:
            for name, digest, _ in csv.reader(rows):
                file = packages / name
                known.add(file)
                kind, _, value = digest.partition("=")
                if not digest:
                    continue
                if not file.is_file():
                    yield f"gone {file}"
                elif kind == "sha256" and base64.urlsafe_b64encode(sha256(file).digest()).decode().rstrip("=") != value:
                    yield f"differs {file}"
    for file in packages.rglob("*"):
        if file.is_file() and file not in known and "__pycache__" not in file.parts:
            yield f"added {file}"


def bundle(root: Path) -> Iterator[str]:
    """What differs in a model's bundle."""
    manifest = json.loads((root / "bundle.json").read_text())
    version = manifest.pop("version")
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    named = f"{manifest['name']}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"
    if named != root.name or not named.endswith(version):
        yield f"differs {root / 'bundle.json'}"
    for name, digest in manifest["files"].items():
        if not (root / name).is_file():
            yield f"gone {root / name}"
        elif sha256(root / name).hexdigest() != digest:
            yield f"differs {root / name}"


def main(roots: list[str]) -> None:
    """A line for each file that is not what it was."""
    for root in map(Path, roots):
        try:
            for line in bundle(root) if (root / "bundle.json").exists() else code(root):
                sys.stdout.write(line + "\n")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # somebody wrote into the lists themselves
            sys.stdout.write(f"differs {root}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
