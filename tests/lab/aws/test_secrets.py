"""The secrets of the stack are in two files only: search all other files, processes and objects for the real values."""

import base64
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pneumoctl.stack.secrets import Secrets
from tests.lab.first_up import FirstUp
from tests.lab.shared import SharedStack
from tests.lab.stack_operator import HOSTS, Operator, ProcessRecorder

SECRET_FILES = {"secrets.json", "ssh/id_ed25519"}
PLAN = "terraform/.pneumoctl/plan"


@pytest.fixture(scope="module")
def secrets(aws: SharedStack[FirstUp]) -> list[bytes]:
    """The secrets of the services, the unique lines of the private key, and its seed, raw and in base64."""
    operator = aws.ready()
    services = Secrets(**json.loads((operator.directory / "secrets.json").read_text())).values()
    assert len(services) == len(set(services)) >= 6  # more after a rotation
    armour = (operator.directory / "ssh/id_ed25519").read_text().splitlines()[1:-1]
    # The first line is the same in all such keys; the last line has a comment and padding.
    private_key_lines = [line.encode() for line in armour[1:-1]]
    seed = seed_of(base64.b64decode("".join(armour)))
    assert len(private_key_lines) >= 3
    return [*(secret.encode() for secret in services), *private_key_lines, seed, base64.b64encode(seed).rstrip(b"=")]


def seed_of(blob: bytes) -> bytes:
    """The 32 secret bytes of an unencrypted OpenSSH key: the first half of its longest field, before the public key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_ssh_private_key

    body = base64.encodebytes(blob).decode()
    key = load_ssh_private_key(
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}-----END OPENSSH PRIVATE KEY-----\n".encode(), None
    )
    assert isinstance(key, Ed25519PrivateKey)
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def files_with_secrets(secrets: Iterable[bytes], files: Iterable[Path]) -> set[Path]:
    """The files that contain a secret. Saved plans are archives, and their members are searched, too."""
    return {file for file in files if any(secret in content for content in contents(file) for secret in secrets)}


def contents(file: Path) -> Iterator[bytes]:
    yield file.read_bytes()
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def files_below(*directories: Path) -> list[Path]:
    """All regular files except terraform's provider, which is large and not ours."""
    paths = [
        path for directory in directories for path in directory.rglob("*") if path.is_file() and not path.is_symlink()
    ]
    return [path for path in paths if "providers" not in path.parts]


@pytest.fixture
def plan(operator: Operator) -> Path:
    """A saved plan of terraform, as an `up` without changes leaves it; one that changes something deletes its own."""
    path = operator.directory / PLAN
    if not path.exists():
        operator.run("up", "-y")
    return path


def test_secrets_are_only_in_their_own_files(operator: Operator, plan: Path, secrets: list[bytes]) -> None:
    """Searches all files of the operator: state and its backups, saved plans, variables, logs, journal."""
    files = files_below(operator.lab.paths.home)
    names = {str(path.relative_to(operator.directory)) for path in files if path.is_relative_to(operator.directory)}

    assert names > {
        PLAN,
        "terraform/terraform.tfstate",
        "terraform/terraform.tfvars.json",
        "logs/terraform.log",
        "journal.jsonl",
    }
    exported = operator.directory.with_name(f"{operator.directory.name}.mac-keys.json")  # there once results were
    assert files_with_secrets(secrets, files) - {exported} == {operator.directory / name for name in SECRET_FILES}


def test_terraform_shows_no_secret(operator: Operator, plan: Path, secrets: list[bytes]) -> None:
    """The saved plan contains the state before and after it, the variables and the configuration."""
    shown = operator.lab.run(["terraform", f"-chdir={plan.parents[1]}", "show", "-json", str(plan)]).stdout

    assert {"prior_state", "variables", "configuration"} < set(json.loads(shown))
    assert not [secret for secret in secrets if secret in shown.encode()]


def test_no_secret_was_sent_to_the_api(operator: Operator, secrets: list[bytes]) -> None:
    lab, ec2 = operator.lab, operator.lab.client()
    user_data = [
        base64.b64decode(
            ec2.describe_instance_attribute(InstanceId=host["id"], Attribute="userData")["UserData"]["Value"]
        )
        for host in lab.hosts()
    ]
    console_outputs = [
        ec2.get_console_output(InstanceId=host["id"])["Output"].encode()
        for host in lab.hosts()
        if host["state"] == "up"
    ]
    sources = (
        files_below(lab.paths.logs),
        [lab.paths.directory / "calls.jsonl"],
        lab.paths.hosts.glob("*/console.log"),
    )

    assert len(user_data) >= len(HOSTS) and all(b"#!/bin/" in script for script in user_data)
    assert not [secret for secret in secrets if any(secret in text for text in (*user_data, *console_outputs))]
    assert files_with_secrets(secrets, (file for source in sources for file in source)) == set()


def test_no_secret_is_in_the_logs_and_state_of_a_host(operator: Operator, secrets: list[bytes]) -> None:
    roots = [operator.lab.paths.hosts / operator.lab.host(name)["id"] / "root" for name in HOSTS]
    files = files_below(
        *(root / below for root in roots for below in ("var/log", "var/lib/cloud", "var/lib/pneumoctl"))
    )

    assert len(files) > 20 * len(HOSTS)
    assert files_with_secrets(secrets, files) == set()


def test_no_process_has_a_secret_in_its_arguments_or_environment(
    operator: Operator, process_recorder: ProcessRecorder, secrets: list[bytes]
) -> None:
    """Neither in its arguments nor in its environment, since the first `up`: terraform, ssh and their children."""
    operator.run("ssh", "web-0", "--", "sleep 1")
    programs = {Path(argv.split(b"\0")[0].decode()).name for argv, _ in process_recorder.processes}

    assert programs > {"terraform", "ssh"} and any(
        b"PNEUMO_TARGET=aws" in environment for _, environment in process_recorder.processes
    )
    assert any(name.startswith("terraform-provider-aws") for name in programs)
    leaks = [
        argv
        for argv, environment in process_recorder.processes
        for secret in secrets
        if secret in argv or secret in environment
    ]
    assert leaks == []
