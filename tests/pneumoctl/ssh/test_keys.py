"""The stack's key pair, the pinned host keys, and the OpenSSH configuration."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import keys
from pneumoctl.stack.inventory import Host, Inventory
from tests import needs

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDh2LNi8qbRgGN8FfoyDzZLXPGBFnAIPR0S9xQF9SDLY"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBo7q4bB4nW0vQZwYw4oA7dWn8lAB2q9W1r6w2m0Yx0J"
NGINX = Host("nginx", "nginx", "10.20.1.10", {}, "i-0b", "203.0.113.7", "admin", "t3.micro")
WEB = Host("web-0", "web", "10.20.2.10", {}, "i-0a", "", "admin", "t3.small")
MONITORING = Host("monitoring", "monitoring", "10.20.1.20", {}, "i-0c", "203.0.113.9", "admin", "t3.small")
TRAIN = Host("train", "train", "10.20.3.10", {}, "i-0d", "", "ubuntu", "g5.xlarge")
INVENTORY = Inventory((MONITORING, NGINX, TRAIN, WEB))


def test_the_pair_is_created_once_and_openssh_accepts_it(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "ssh"
    public = keys.key_pair(directory)
    private = directory / "id_ed25519"
    assert private.stat().st_mode & 0o777 == 0o600 and directory.stat().st_mode & 0o777 == 0o700
    assert public.startswith("ssh-ed25519 ") and (directory / "id_ed25519.pub").read_text() == public + "\n"
    made = private.read_bytes()
    assert keys.key_pair(directory) == public and private.read_bytes() == made
    if shutil.which("ssh-keygen"):
        result = subprocess.run(["ssh-keygen", "-y", "-f", str(private)], capture_output=True, text=True, check=True)
        assert result.stdout.split()[:2] == public.split()[:2]


def test_two_stacks_have_two_keys(tmp_path: Path) -> None:
    assert keys.key_pair(tmp_path / "a") != keys.key_pair(tmp_path / "b")


def test_a_lost_public_key_is_restored_from_the_private_one(tmp_path: Path) -> None:
    public = keys.key_pair(tmp_path / "ssh")
    (tmp_path / "ssh" / "id_ed25519.pub").unlink()
    assert keys.key_pair(tmp_path / "ssh") == public
    assert (tmp_path / "ssh" / "id_ed25519.pub").read_text().strip() == public


@pytest.mark.parametrize("path, mode", [("id_ed25519", 0o640), ("id_ed25519", 0o604), (".", 0o750)])
def test_a_key_that_others_may_read_is_refused_with_the_command_that_fixes_it(
    tmp_path: Path, path: str, mode: int
) -> None:
    directory = tmp_path / "a stack's"
    keys.key_pair(directory)
    (directory / path).chmod(mode)
    with pytest.raises(PneumoError, match=f"open to other users .mode {mode:o}.") as caught:
        keys.key_pair(directory)
    subprocess.run(caught.value.hint, shell=True, check=True)
    keys.key_pair(directory)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_an_error_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    keys.key_pair(tmp_path / "ssh")
    private = tmp_path / "ssh" / "id_ed25519"
    private.write_bytes(content)
    with pytest.raises(PneumoError, match="damaged"):
        keys.key_pair(tmp_path / "ssh")
    assert private.read_bytes() == content


def test_a_pin_does_not_change_and_another_key_is_an_error(tmp_path: Path) -> None:
    keys.pin(tmp_path, WEB, f"{KEY} root@somewhere")
    keys.pin(tmp_path, WEB, KEY)
    assert keys.pins(tmp_path) == {"i-0a": KEY}
    with pytest.raises(PneumoError, match=r"host key of web-0 \(i-0a\) is not the one pinned") as caught:
        keys.pin(tmp_path, WEB, OTHER)
    assert (
        caught.value.code == Exit.FAILED and "pneumoctl up" in caught.value.hint and "new instance" in caught.value.hint
    )
    assert keys.pins(tmp_path) == {"i-0a": KEY}


def test_a_new_instance_of_the_same_name_may_have_another_key(tmp_path: Path) -> None:
    keys.pin(tmp_path, WEB, KEY)
    keys.pin(tmp_path, replace(WEB, instance_id="i-0z"), OTHER)
    keys.forget(tmp_path, {"i-0z"})
    assert keys.pins(tmp_path) == {"i-0z": OTHER}


def test_there_are_no_pins_before_the_first(tmp_path: Path) -> None:
    assert keys.pins(tmp_path) == {}
    keys.forget(tmp_path, set())
    assert not (tmp_path / "known_hosts").exists()


def test_the_configuration_uses_the_bastion_and_pinned_keys_only(tmp_path: Path) -> None:
    web = keys.ssh_config(INVENTORY, tmp_path).split("\n\n")[3]
    lines = [line.strip() for line in web.strip().splitlines()]
    assert lines[0] == "Host web-0"
    for line in (
        "HostName 10.20.2.10",
        "ProxyJump nginx",
        "HostKeyAlias i-0a",
        "User admin",
        "StrictHostKeyChecking yes",
        "IdentitiesOnly yes",
        f'UserKnownHostsFile "{tmp_path}/known_hosts"',
    ):
        assert line in lines


@pytest.mark.skipif(not shutil.which("ssh"), reason=needs.SSH)
@pytest.mark.parametrize("folder", ["plain", "a stack's %d é", 'quo"te\\'])
def test_openssh_reads_the_configuration_as_intended(tmp_path: Path, folder: str) -> None:
    directory = tmp_path / folder
    directory.mkdir()
    (directory / "config").write_text(keys.ssh_config(INVENTORY, directory))

    def seen(host: str) -> dict[str, str]:
        argv = ["ssh", "-G", "-F", str(directory / "config"), host]
        output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return dict(line.split(" ", 1) for line in output.splitlines() if " " in line)

    nginx, monitoring, train = seen("nginx"), seen("monitoring"), seen("train")
    assert (nginx["hostname"], nginx.get("proxyjump")) == ("203.0.113.7", None)
    # monitoring also has a public address, which the firewall blocks
    assert (monitoring["hostname"], monitoring["proxyjump"]) == ("10.20.1.20", "nginx")
    assert (train["user"], train["hostkeyalias"], train["port"]) == ("ubuntu", "i-0d", "22")
    for options in (nginx, train):
        assert options["stricthostkeychecking"] == "true" and options["updatehostkeys"] == "false"
        assert options["forwardagent"] == "no" and options["batchmode"] == "yes" and options["identityagent"] == "none"
        assert int(options["connecttimeout"]) <= 10
        assert int(options["serveraliveinterval"]) * (int(options["serveralivecountmax"]) + 1) <= 16
