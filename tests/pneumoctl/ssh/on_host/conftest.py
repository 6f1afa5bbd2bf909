"""A folder in place of a host, and steps that are carried out in it."""

import io
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.ssh import on_host
from pneumoctl.ssh.on_host import steps
from tests.pneumoctl.ssh.on_host.step_requests import Act, document, taken


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of a host; its service manager is a script that records its calls."""
    for name in ("var", "run", "etc", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/manager").write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\ntest ! -e {tmp_path}/broken || ! grep -q bad {tmp_path}/etc/conf\n'
    )
    (tmp_path / "bin/manager").chmod(0o755)
    monkeypatch.setattr(on_host, "STATE", str(tmp_path / "var"))
    monkeypatch.setattr(on_host, "RUNTIME", str(tmp_path / "run"))
    return tmp_path


@pytest.fixture
def act(host: Path) -> Act:
    """Carry out a step under a valid lease."""
    token = taken("us")["token"]

    def done(stream: bytes = b"", **step: Any) -> dict[str, Any]:
        request = {"op": "act", "run": "r", "holder": "us", "token": token, "step": document(**step)}
        return steps.act(request, io.BytesIO(stream))

    return done
