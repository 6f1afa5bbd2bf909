"""Terraform's working directory in a stack's folder: the configuration, the variables, the backend of the state."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pneumoctl.aws.terraform.state import serial
from pneumoctl.files import make_private, sha256, write_atomically

VARIABLES = "terraform.tfvars.json"
BACKEND = "backend.tf.json"
OURS = ".pneumoctl"  # the folder for pneumoctl's own files beside terraform's
KEEP_S = 0.3
_LOCK = ".terraform.lock.hcl"
_PROVIDERS = ".terraform/providers"
_PREPARED = "prepared.json"


@dataclass(frozen=True)
class WorkingCopy:
    """The directory that terraform runs in."""

    directory: Path

    def write(self, source: Path, variables: Mapping[str, Any]) -> None:
        """Update the configuration: write changed files, and delete files of an earlier pneumoctl.

        Terraform's own files and the user's are kept.
        """
        names = (path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file())
        shipped = {str(name): source / name for name in names if _ships(name)}
        before = self._remembered("files", [])
        self._remember(files=sorted({*before, *shipped}))  # first, so that a kill leaves no unlisted file
        for name, path in shipped.items():
            _put(self.directory / name, path.read_bytes(), 0o600)
        for name in set(before) - set(shipped):
            (self.directory / name).unlink(missing_ok=True)
        self._remember(files=sorted(shipped))
        _put(self.directory / VARIABLES, json.dumps(dict(variables), indent=2).encode(), 0o600)

    def write_backend(self, backend: Mapping[str, Any]) -> None:
        """Set the S3 backend of the state; empty: the local file terraform.tfstate. Remove a damaged record of it."""
        if not _json(self._backend_record):
            self._backend_record.unlink(missing_ok=True)
        if backend:
            document = {"terraform": {"backend": {"s3": dict(backend)}}}
            _put(self.directory / BACKEND, json.dumps(document, indent=2).encode(), 0o600)
        else:
            (self.directory / BACKEND).unlink(missing_ok=True)

    def copy_to(self, target: Path) -> None:
        """Copy what `terraform plan` needs besides the configuration: the state, its location, and the providers.

        The providers are a link: they are large, and `terraform init` only adds to them.
        """
        states = [_bytes(self.directory / name) for name in ("terraform.tfstate", f"{OURS}/state")]
        state = next((state for state in states if serial(state) >= 0), b"")  # it may be written right now
        contents = {"terraform.tfstate": state} if state and not self.backend() else {}
        record = self._backend_record.relative_to(self.directory)
        for name in (BACKEND, _LOCK, f"{OURS}/{_PREPARED}", str(record)):
            contents[name] = _bytes(self.directory / name)
        for name, content in contents.items():
            if content:
                _put(target / name, content, 0o600)
        providers = self.directory / _PROVIDERS
        make_private(providers)
        make_private((target / _PROVIDERS).parent)
        (target / _PROVIDERS).symlink_to(providers)

    def variables(self) -> dict[str, Any]:
        """The variables of the last `write`; {} before the first."""
        return _json(self.directory / VARIABLES)

    def backend(self) -> dict[str, Any] | None:
        """The S3 backend of the state, as terraform or else pneumoctl recorded it; {}: local, None: no state yet."""
        record = _json(self._backend_record)
        if not record:  # missing, or damaged: then `terraform init` writes it anew
            local: dict[str, Any] | None = {} if (self.directory / "terraform.tfstate").exists() else None
            remembered: dict[str, Any] | None = self._remembered("backend", local)
            return remembered
        saved = record.get("backend") or {}
        config = saved.get("config") or {}
        return {name: config.get(name) for name in s3("", "", "")} if saved.get("type") == "s3" else {}

    @property
    def region(self) -> str:
        """The region of the last `write`; empty before the first."""
        return str(self.variables().get("region", ""))

    @property
    def applying(self) -> Path:
        """The file that exists from the start of an apply until it has succeeded."""
        return self.directory / OURS / "applying"

    def dated(self, what: str) -> Path:
        """A new name for a copy of the state."""
        return self.directory / f"terraform.tfstate.{what}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"

    def write_beside(self, configuration: Mapping[str, Any]) -> Path:
        """Write another configuration, with the same backend and versions, to a folder of its own; returns that."""
        beside = self.directory / OURS / "adopt"
        write_atomically(beside / "main.tf.json", json.dumps(dict(configuration)).encode(), 0o600)
        for name in (_LOCK, BACKEND):
            (beside / name).unlink(missing_ok=True)
            if (self.directory / name).exists():
                (beside / name).symlink_to(self.directory / name)
        return beside

    def initialised(self, backend: Mapping[str, Any]) -> bool:
        """Whether `terraform init` would change nothing: same providers, all installed, same backend."""
        same = self._remembered("versions", "") == self._versions() and self._remembered("backend", None) == backend
        recorded = bool(_json(self._backend_record)) or not backend
        return same and recorded and self.backend() == backend and self._providers_installed()

    def versions_changed(self) -> bool:
        """Whether versions.tf differs from that of the last `terraform init`; False if there was none."""
        return self._remembered("versions", "") not in ("", self._versions())

    def note_initialised(self, backend: Mapping[str, Any]) -> None:
        """Remember that `terraform init` succeeded."""
        self._remember(versions=self._versions(), backend=dict(backend))

    def forget_initialised(self) -> None:
        """Make the next run initialise again."""
        self._remember(versions="")

    def keep_state(self) -> None:
        """Copy a complete state for `restore_state`, at most once in KEEP_S seconds."""
        copy = self.directory / OURS / "state"
        if copy.exists() and time.time() - copy.stat().st_mtime < KEEP_S:
            return
        if serial(state := _bytes(self.directory / "terraform.tfstate")) >= 0:
            write_atomically(copy, state, 0o600)

    def restore_state(self) -> bool:
        """Replace a state that a kill truncated by the newest copy; returns whether that was needed.

        Terraform truncates its local state before it writes the next: a kill in between leaves nothing. Resources
        newer than the copy are found by their tags.
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
        return sha256(at) if at.exists() else "none"

    def _providers_installed(self) -> bool:
        """Whether each provider of the lock file has its program, which may be a broken link into a mirror."""
        lock = self.directory / _LOCK
        names = re.findall(r'^provider "([^"]+)"', lock.read_text(), re.MULTILINE) if lock.exists() else []
        programs = self.directory / _PROVIDERS
        return all(any(file.exists() for file in programs.glob(f"{name}/*/*/*")) for name in names)

    @property
    def _backend_record(self) -> Path:
        """Terraform's own record of its backend; it exists after `terraform init` with a backend."""
        return self.directory / ".terraform" / "terraform.tfstate"

    def _remembered(self, name: str, default: Any) -> Any:
        return _json(self.directory / OURS / _PREPARED).get(name, default)

    def _remember(self, **values: Any) -> None:
        at = self.directory / OURS / _PREPARED
        _put(at, json.dumps(_json(at) | values).encode(), 0o600)


def s3(bucket: str, region: str, stack: str) -> dict[str, Any]:
    """The S3 backend of a stack. One bucket may hold the states of many stacks: the key has region and stack."""
    key = f"pneumoctl/{region}/{stack}/terraform.tfstate"
    return {"bucket": bucket, "key": key, "region": region, "use_lockfile": True, "encrypt": True}


def _ships(name: Path) -> bool:
    """Whether the file belongs to the configuration. Files that terraform wrote into the checkout do not."""
    hidden = any(part.startswith(".") and part != _LOCK for part in name.parts)
    return not hidden and ".tfstate" not in name.name and name.name not in (VARIABLES, BACKEND)


def _put(path: Path, content: bytes, mode: int) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content, mode)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
