"""The JSON files of a stack's directory; what one holds is derived from other files if it is damaged or missing."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pneumoctl.stack import documents, inventory
from pneumoctl.stack import secrets as secrets_file
from pneumoctl.stack.documents import Damaged
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.secrets import Secrets

CLOUD, HOSTS, SECRETS, PORTS = "aws.json", "inventory.json", "secrets.json", "ports.json"
VARIABLES, STATE = "terraform/terraform.tfvars.json", "terraform/terraform.tfstate"
_ACCOUNT = re.compile(r"\barn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12}):")
Saved = TypeVar("Saved")


@dataclass(frozen=True)
class Ports:
    """Service name -> port: as `requested` by the settings, and as `assigned` because it was free."""

    requested: dict[str, int]
    assigned: dict[str, int]


@dataclass(frozen=True)
class Cloud:
    """The location of a stack on aws; saved, so that later commands find it without settings."""

    region: str
    profile: str
    account: str
    bucket: str


def cloud(directory: Path) -> Cloud | None:
    """The location of a stack on aws; None if it is not on aws."""
    hint = "move {path} away; then, with the settings region and bucket of the stack: pneumoctl up --target aws"
    made = any((directory / name).exists() for name in (STATE, HOSTS))  # `plan` alone makes no stack
    derive = partial(_derived_cloud, directory) if made or (directory / CLOUD).exists() else lambda: None
    return _saved(directory / CLOUD, partial(documents.parse, Cloud), derive, hint)


def hosts(directory: Path) -> Inventory | None:
    """The hosts of a stack on aws; None if it has none."""
    hint = "pneumoctl up, which writes {path} anew from terraform's state"
    return _saved(directory / HOSTS, inventory.from_json, partial(_derived_hosts, directory), hint)


def secrets(directory: Path) -> Secrets | None:
    """The secrets of a stack; None if it has none, or if those of a stack on aws are only on its hosts."""
    on_aws = "pneumoctl up, which reads the secrets back from the hosts"
    local = "restore {path} from a backup: without it, the stored results cannot be read"
    hint = on_aws if any((directory / name).exists() for name in (CLOUD, HOSTS, VARIABLES)) else local
    return _saved(directory / SECRETS, secrets_file.from_json, partial(_derived_secrets, directory), hint)


def ports(directory: Path) -> Ports | None:
    """The ports of a local stack; None if it has none."""
    hint = "move {path} away, then: pneumoctl up"
    return _saved(directory / PORTS, _read_ports, partial(_derived_ports, directory), hint)


def _saved(path: Path, read: Callable[[Any], Saved], derive: Callable[[], Saved | None], hint: str) -> Saved | None:
    """What a file holds, or what can be derived in its place. Raises Damaged if it is damaged and nothing can."""
    try:
        return documents.load(path, read, hint.format(path=path)) or derive()
    except Damaged as error:
        instead = derive()
        if instead is None:
            raise
        documents.warn_once(
            f"{error.message}; other files of the stack say what it held, and pneumoctl up writes it anew"
        )
        return instead


def _read_ports(document: Any) -> Ports:
    """The fields of ports.json; version 0.1.0 gave them other names."""
    names = {"wished": "requested", "given": "assigned"}
    renamed = {names.get(name, name): value for name, value in document.items()} if isinstance(document, dict) else None
    return documents.parse(Ports, renamed)


def _derived_cloud(directory: Path) -> Cloud | None:
    """From terraform's variables and state. The profile is nowhere else; the account is empty if it is not known."""
    variables = _json(directory / VARIABLES)
    stack, region, bucket = (str(variables.get(name) or "") for name in ("stack", "region", "bucket"))
    if not (region and bucket):
        return None
    usual = re.fullmatch(rf"pneumoctl-{re.escape(stack)}-(\d{{12}})-{re.escape(region)}", bucket)
    account = usual or _ACCOUNT.search(_text(directory / STATE))
    return Cloud(region, "", account[1] if account else "", bucket)


def _derived_hosts(directory: Path) -> Inventory | None:
    """From terraform's outputs; None if its state is in S3, or lists none."""
    outputs = _json(directory / STATE).get("outputs") or {}

    def read() -> Inventory:
        return inventory.from_outputs(outputs["hosts"]["value"], outputs["bastion"]["value"])

    return _unless_invalid(read)


def _derived_secrets(directory: Path) -> Secrets | None:
    """From the environment of a local stack's API; that of a host on aws is not here."""
    text = _text(directory / "env" / "api.env")
    return _unless_invalid(lambda: secrets_file.from_environments([text])) if text else None


def _derived_ports(directory: Path) -> Ports | None:
    """From the configuration of a local stack's services."""
    sources = {
        "redis": ("env/api.env", r"^REDIS_PORT=(\d+)$"),
        "api": ("env/ui.env", r"^API_URL=http://127\.0\.0\.1:(\d+)$"),
        "ui": ("supervisor/supervisord.conf", r"\[program:ui\][^\[]*?127\.0\.0\.1:(\d+)"),
    }
    texts = {name: _text(directory / file) for name, (file, _) in sources.items()}
    found = {name: re.search(pattern, texts[name], re.MULTILINE) for name, (_, pattern) in sources.items()}
    assigned = {name: int(match[1]) for name, match in found.items() if match}
    if len(assigned) < len(sources):
        return None
    if dicom := re.search(r"^DICOM_PORT=(\d+)$", _text(directory / "env" / "dicom.env"), re.MULTILINE):
        assigned["dicom"] = int(dicom[1])
    return Ports(assigned, assigned)


def _unless_invalid(read: Callable[[], Saved]) -> Saved | None:
    """What `read` returns; None if its source lacks something, or is of another kind."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        return read()
    return None


def _json(path: Path) -> dict[str, Any]:
    with suppress(ValueError):
        document = json.loads(_text(path))
        return document if isinstance(document, dict) else {}
    return {}


def _text(path: Path) -> str:
    """The text of a file; empty if it cannot be read."""
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""
