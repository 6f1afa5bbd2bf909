"""The hosts of a lab, as its reconciler last described them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Overview:
    """The file that the reconciler writes; it need not exist yet."""

    path: Path

    def exists(self) -> bool:
        return self.path.exists()

    def hosts(self) -> list[dict[str, Any]]:
        """id, name, private_ip, public_ip, api (its state in EC2), state (of the host: up, down, dead ...), pid."""
        rows: list[dict[str, Any]] = self._read()["hosts"]
        return rows

    def host(self, which: str) -> dict[str, Any]:
        """The existing host with a name, address or id. Raises KeyError if there is none."""
        hosts = self.hosts()
        rows = [host for host in hosts if which in (host["id"], host["name"], host["private_ip"], host["public_ip"])]
        if not rows:
            names = ", ".join(host["name"] for host in hosts)
            raise KeyError(f"no host {which} in this lab; there are: {names or 'none'}")
        return rows[-1]

    def failure(self) -> str:
        """What the reconciler failed to do at its last attempt; empty if it succeeded."""
        return str(self._read()["failure"])

    def _read(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.path.read_text())
        return document
