"""The user data with which a host accepts another SSH key, run by a real shell, and which hosts must restart."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.aws import boot_scripts
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import bundled
from pneumoctl.results import final_export
from pneumoctl.ssh import keys
from pneumoctl.stack.inventory import Host
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import ssh_key
from tests import needs
from tests.pneumoctl.targets.aws.provisioning.account_with_hosts import (
    BOOT,
    HOSTS,
    TRAIN,
    Act,
    Ec2,
    Hosts,
    instance,
    restarted,
)

SOURCES = ("boot.sh.tftpl", "train.sh.tftpl", "guard.py")  # of the GPU host's boot script


def test_a_lost_key_is_made_anew_and_every_host_gets_it(stack: Context) -> None:
    Hosts.refusing = {host.name for host in HOSTS.hosts}
    changed = ssh_key.install(stack, True, Act())
    names = sorted(host.name for host in HOSTS.hosts)
    assert sorted(changed) == [*names[:2], *names[2:4], "train", *names[4:]] and restarted(stack.aws) == [names]
    assert keys.public_key(stack.stack.ssh)
    given = [who for operation, who in stack.aws.calls if operation == "modify_instance_attribute"]
    started = [who for operation, who in stack.aws.calls if operation == "start_instances"]
    assert TRAIN.instance_id in given and TRAIN.instance_id not in started[0]  # the GPU is not started
    assert ssh_key.install(stack, True, Act()) == []


def test_the_gpu_host_keeps_its_boot_script_for_spot_instances(stack: Context) -> None:
    for _ in range(2):
        Hosts.refusing = {host.name for host in HOSTS.hosts}
        ssh_key.install(stack, True, Act())
        saved = stack.aws.user_data[TRAIN.instance_id]
        hook, at_end, boot = boot_scripts.split(saved)
        assert boot == BOOT and hook == boot_scripts.BOOTHOOK + at_end and at_end.startswith("#!/bin/sh\n")
        assert keys.public_key(stack.stack.ssh) in hook and len(saved) < 16384
        kinds = [line for line in saved.decode().splitlines() if line.startswith("Content-Type: text/")]
        assert [kind.split(";")[0].rpartition("/")[2] for kind in kinds] == ["cloud-boothook", *["x-shellscript"] * 2]
        stack.stack.ssh.joinpath("id_ed25519").unlink()


@pytest.mark.parametrize(("refused", "done"), [(TRAIN, []), (HOSTS.hosts[1], ["stop", "start_instances"])])
def test_hosts_that_were_stopped_are_started_if_a_change_is_refused(
    stack: Context, monkeypatch: pytest.MonkeyPatch, refused: Host, done: list[str]
) -> None:
    Hosts.refusing, call = {host.name for host in HOSTS.hosts}, Ec2.call

    def refuse(self: Ec2, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation == "modify_instance_attribute" and arguments["InstanceId"] == refused.instance_id:
            raise PneumoError("it is running")
        return call(self, service, operation, **arguments)

    monkeypatch.setattr(Ec2, "call", refuse)
    with pytest.raises(PneumoError, match="it is running"):
        ssh_key.install(stack, True, Act())
    assert [name for name, _ in stack.aws.calls if name != "modify_instance_attribute"] == done


def test_the_boot_script_of_a_gpu_host_leaves_room_for_the_key() -> None:
    """EC2 takes 16384 bytes."""
    texts = [bundled("terraform").joinpath("user_data", name).read_text() for name in SOURCES]
    assert len(ssh_key.user_data_of_train("".join(texts).encode(), "ssh-ed25519 " + "A" * 100, "ubuntu")) < 16000


def test_only_hosts_that_refuse_the_key_restart_and_the_bastion_first(stack: Context) -> None:
    keys.key_pair(stack.stack.ssh)
    Hosts.refusing = {"nginx", "web-0"}
    ssh_key.install(stack, True, Act())
    assert restarted(stack.aws) == [["nginx"], ["web-0"]]


def test_a_host_that_an_interrupted_command_left_stopped_is_started(stack: Context) -> None:
    keys.key_pair(stack.stack.ssh)
    stack.aws.there[:] = [
        replace(each, state="stopped") if each.name == "web-0" and not restarted(stack.aws) else each
        for each in stack.aws.there
    ]
    stack.aws.stop = lambda hosts: stack.aws.there.__setitem__(
        slice(None), [replace(each, state="running") if each.role != "train" else each for each in stack.aws.there]
    )
    assert ssh_key.install(stack, True, Act()) == ["web-0", "train"]


def test_a_damaged_key_is_kept_beside_the_new_one(stack: Context) -> None:
    keys.key_pair(stack.stack.ssh)
    (stack.stack.ssh / "id_ed25519").write_bytes(b"cut")
    (stack.stack.ssh / "id_ed25519").chmod(0o600)
    ssh_key.install(stack, True, Act())
    assert (stack.stack.ssh / "id_ed25519.damaged").read_bytes() == b"cut" and keys.public_key(stack.stack.ssh)


def test_while_the_gpu_is_on_no_key_is_made(stack: Context) -> None:
    stack.aws.there[-1] = instance(TRAIN)
    with pytest.raises(PneumoError, match="is on") as caught:
        ssh_key.install(stack, True, Act())
    assert caught.value.code == Exit.LOCKED and not stack.stack.ssh.exists() and stack.aws.calls == []


@pytest.mark.skipif(os.geteuid() != 0, reason=needs.ROOT)
def test_the_user_data_install_the_key_once_and_alone(tmp_path: Path) -> None:
    home, bin_ = tmp_path / "home", tmp_path / "bin"
    for folder in (home, bin_):
        folder.mkdir()
    authorized = home / ".ssh" / "authorized_keys"
    (bin_ / "getent").write_text("#!/bin/sh\nexit 2\n")  # a new instance: the user does not exist yet
    (bin_ / "getent").chmod(0o755)

    def boot(key: str) -> None:
        header, _, script = ssh_key.user_data(key, "root").partition("\n")
        assert header == "#cloud-boothook" and script.startswith("#!/bin/sh\n")
        script = script.replace("/var/lib/pneumoctl", str(tmp_path / "var"))
        environment = {"PATH": f"{bin_}:{os.environ['PATH']}"}
        subprocess.run(["sh", "-c", script], env=environment, check=True, capture_output=True)

    first, second = keys.unsaved_public_key(), keys.unsaved_public_key()
    boot(first)
    assert not authorized.exists()
    (bin_ / "getent").write_text(f"#!/bin/sh\necho root:x:0:0::{home}:/bin/sh\n")
    boot(first)
    assert authorized.read_text() == first + "\n" and authorized.stat().st_mode & 0o777 == 0o600
    authorized.write_text("ssh-ed25519 AAAA added later\n")
    boot(first)
    assert authorized.read_text() == "ssh-ed25519 AAAA added later\n"  # a boot never brings back a replaced key
    boot(second)
    assert authorized.read_text() == second + "\n"


def test_hosts_that_restart_take_uploads_again_so_that_an_earlier_export_is_not_final(stack: Context) -> None:
    final_export.save(stack.stack, None)
    Hosts.refusing = {"app-0"}
    ssh_key.install(stack, True, Act())
    assert not final_export.holds_all(stack.stack)
