"""Terraform's working copy in a stack's directory: our files, the variables, where the state is."""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumoctl.aws.terraform.state import serial
from pneumoctl.files import write_atomically

VARIABLES = "terraform.tfvars.json"
BACKEND = "backend.tf.json"
OURS = ".pneumoctl"  # what we keep in there beside terraform's own files
KEEP_S = 0.3
_LOCK = ".terraform.lock.hcl"


@dataclass(frozen=True)
class WorkingCopy:
    """The directory that terraform runs in."""

    directory: Path

    def write(self, source: Path, variables: Mapping[str, Any]) -> None:
        """Bring our files up to date: what changed is written, what we shipped once and no longer do is removed.

        Terraform's own files, and any that the user put there, stay.
        """
        names = (path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file())
        shipped = {str(name): source / name for name in names if _ships(name)}
        before = self._remembered("files", [])
        self._remember(files=sorted({*before, *shipped}))  # first: a kill between leaves no file that nobody knows
        for name, path in shipped.items():
            _put(self.directory / name, path.read_bytes(), 0o600)
        for name in set(before) - set(shipped):
            (self.directory / name).unlink(missing_ok=True)
        self._remember(files=sorted(shipped))
        _put(self.directory / VARIABLES, json.dumps(dict(variables), indent=2).encode(), 0o600)

    def write_backend(self, backend: Mapping[str, Any]) -> None:
        """Say where the state is; empty: here, in terraform.tfstate."""
        if backend:
            document = {"terraform": {"backend": {"s3": dict(backend)}}}
            _put(self.directory / BACKEND, json.dumps(document, indent=2).encode(), 0o600)
        else:
            (self.directory / BACKEND).unlink(missing_ok=True)

    def variables(self) -> dict[str, Any]:
        """What `write` was last given, empty before."""
        return _json(self.directory / VARIABLES)

    def backend(self) -> dict[str, Any] | None:
        """Where the state is, as terraform itself remembers, else as we do; empty: here, None: there is none yet."""
        known = _json(self._its_backend).get("backend") or {}
        if not self._its_backend.exists():
            here: dict[str, Any] | None = {} if (self.directory / "terraform.tfstate").exists() else None
            remembered: dict[str, Any] | None = self._remembered("backend", here)
            return remembered
        config = known.get("config") or {}
        return {name: config.get(name) for name in s3("", "", "")} if known.get("type") == "s3" else {}

    def initialised(self, backend: Mapping[str, Any]) -> bool:
        """Whether `terraform init` would change nothing: same providers wanted and all there, same backend."""
        same = self._remembered("versions", "") == self._versions() and self._remembered("backend", None) == backend
        known = self._its_backend.exists() or not backend
        return same and known and self.backend() == backend and self._providers_there()

    def versions_changed(self) -> bool:
        """Whether other providers are wanted than at the last `initialised`; False if there was none."""
        return self._remembered("versions", "") not in ("", self._versions())

    def note_initialised(self, backend: Mapping[str, Any]) -> None:
        """Remember that `terraform init` succeeded."""
        self._remember(versions=self._versions(), backend=dict(backend))

    def forget_initialised(self) -> None:
        """Have the next run initialise again."""
        self._remember(versions="")

    def keep_state(self) -> None:
        """Copy the state for `mend_state`, if it is whole; not so often that it costs anything."""
        kept = self.directory / OURS / "state"
        if kept.exists() and time.time() - kept.stat().st_mtime < KEEP_S:
            return
        if serial(state := _bytes(self.directory / "terraform.tfstate")) >= 0:
            write_atomically(kept, state, 0o600)

    def mend_state(self) -> bool:
        """Put the newest copy in the place of a state that a kill cut short; whether that was needed.

        Terraform empties its local state before it writes the next: a kill in between leaves nothing of it. What is
        younger than the copy is found by its tags.
        """
        state = self.directory / "terraform.tfstate"
        copies = [_bytes(self.directory / OURS / "state"), _bytes(self.directory / "terraform.tfstate.backup")]
        newest = max(copies, key=serial)
        if self.backend() or not state.exists() or serial(_bytes(state)) >= 0 or serial(newest) < 0:
            return False
        state.replace(self.directory / "terraform.tfstate.cut-short")
        _put(state, newest, 0o600)
        return True

    def _versions(self) -> str:
        at = self.directory / "versions.tf"
        return hashlib.sha256(at.read_bytes()).hexdigest() if at.exists() else "none"

    def _providers_there(self) -> bool:
        """Whether each provider of the lock file has its program; it may be a link into a mirror that is gone."""
        lock = self.directory / _LOCK
        names = re.findall(r'^provider "([^"]+)"', lock.read_text(), re.MULTILINE) if lock.exists() else []
        stack = self.directory / ".terraform" / "providers"
        return all(any(file.exists() for file in stack.glob(f"{one}/*/*/*")) for one in names)

    @property
    def _its_backend(self) -> Path:
        """Where terraform remembers its backend, and whether it is initialised for one."""
        return self.directory / ".terraform" / "terraform.tfstate"

    def _remembered(self, name: str, default: Any) -> Any:
        return _json(self.directory / OURS / "prepared.json").get(name, default)

    def _remember(self, **news: Any) -> None:
        at = self.directory / OURS / "prepared.json"
        _put(at, json.dumps(_json(at) | news).encode(), 0o600)


def s3(bucket: str, region: str, stack: str) -> dict[str, Any]:
    """The S3 backend of a stack; region and stack are in the key, for one bucket may hold the states of many."""
    key = f"pneumoctl/{region}/{stack}/terraform.tfstate"
    return {"bucket": bucket, "key": key, "region": region, "use_lockfile": True, "encrypt": True}


def _ships(name: Path) -> bool:
    """Not what terraform leaves in a checkout in which somebody ran it."""
    hidden = any(part.startswith(".") and part != _LOCK for part in name.parts)
    return not hidden and ".tfstate" not in name.name and name.name not in (VARIABLES, BACKEND)


def _put(path: Path, content: bytes, mode: int) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content, mode)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
