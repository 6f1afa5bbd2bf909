"""Have the hosts accept the stack's SSH key, by user data at their next boot, if it was lost or they refuse it."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pneumoctl.aws import boot_scripts
from pneumoctl.aws.ec2 import HALTED, Aws
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.results import final_export
from pneumoctl.ssh import keys
from pneumoctl.ssh.connections import Connections, LoginRefused, Unreachable
from pneumoctl.stack.audit import CommandRecord
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import boot
from pneumoctl.terminal.console import console

# cloud-init runs a boothook at every boot, before it starts the SSH server. This one acts once for each key, so that it
# never brings back a key that was replaced since. The new key becomes the only one: somebody may have the lost one.
# A new instance has no such user yet when its boothooks run.
_MARK = "# Written by `pneumoctl secrets ssh-key`."
_BOOTHOOK = """#!/bin/sh
{mark}
set -eu
key={key} user={user} done=/var/lib/pneumoctl/ssh-key
if [ "$(cat "$done" 2>/dev/null)" = "$key" ]; then exit 0; fi
home=$(getent passwd "$user" | cut -d: -f6)
if [ -z "$home" ]; then exit 0; fi
install -d -m 700 -o "$user" -g "$user" "$home/.ssh"
printf '%s\\n' "$key" >"$home/.ssh/authorized_keys.new"
chown "$user:$user" "$home/.ssh/authorized_keys.new"
chmod 600 "$home/.ssh/authorized_keys.new"
mv "$home/.ssh/authorized_keys.new" "$home/.ssh/authorized_keys"
mkdir -p /var/lib/pneumoctl
printf '%s\\n' "$key" >"$done"
"""


def user_data(key: str, user: str) -> str:
    """The user data with which a host accepts this public key, and no other, for this user."""
    return boot_scripts.BOOTHOOK + _script(key, user)


def _script(key: str, user: str) -> str:
    return _BOOTHOOK.format(mark=_MARK, key=shlex.quote(key), user=shlex.quote(user))


def user_data_of_train(saved: bytes, key: str, user: str) -> bytes:
    """The user data of the GPU host with the key, and with the boot script that it has: spot instances get both.

    A spot instance boots once. It installs the key at the end of that, before its boot script.
    """
    others = [script for script in boot_scripts.split(saved) if _MARK not in script]
    return boot_scripts.join([user_data(key, user), _script(key, user), *others])


@dataclass(frozen=True)
class _Refusing:
    """The hosts that must restart, and those of the others that are off and take the key whenever they start."""

    restart: tuple[Host, ...]
    off: tuple[Host, ...] = ()


def install(context: Context, agreed: bool, act: CommandRecord) -> list[str]:
    """Make a key if it is missing or damaged, and have every host accept it; returns the names of the changed hosts.

    The locks of the stack and of its GPU host must be held. An interrupted command continues when it is run again.
    """
    if on := [host for host in context.aws.training_hosts(context.settings.stack) if host.state not in HALTED]:
        message = f"the GPU host {', '.join(host.id for host in on)} is on, and takes a key only while it is off"
        raise PneumoError(message, "wait for its run to end, or: pneumoctl gpu stop", Exit.LOCKED)
    inventory = context.stack.hosts()
    made = _made(context)
    changed: list[str] = []
    while inventory is not None and (refusing := _refusing(context, inventory, made)).restart:
        if not agreed and not changed and not _asked(refusing.restart):
            raise PneumoError("cancelled: no host was restarted", "answer y, or give --yes")
        act.begin()
        _restart(context, inventory, refusing)
        changed += [host.name for host in (*refusing.restart, *refusing.off)]
        made = False
    return changed


def _asked(hosts: Sequence[Host]) -> bool:
    names = ", ".join(host.name for host in hosts)
    return console.ask(f"Restart {names}? Meanwhile the stack does not serve. Continue?")


def _made(context: Context) -> bool:
    """Whether the key was missing or damaged, and a new one was made. A damaged one stays beside it."""
    directory = context.stack.ssh
    private = directory / keys.PRIVATE
    if private.exists():
        try:
            keys.public_key(directory)
            return False
        except keys.DamagedKey:
            private.replace(private.with_name(f"{keys.PRIVATE}.damaged"))
    keys.key_pair(directory)
    return True


def _refusing(context: Context, inventory: Inventory, made: bool) -> _Refusing:
    """The hosts that refuse the key; all if it is new. Behind a bastion that refuses it, no other can be asked yet."""
    instances = {instance.id: instance for instance in context.aws.instances(context.settings.stack)}
    there = [host for host in inventory.hosts if host.instance_id in instances]
    serving = [host for host in there if host.role != "train"]
    stopped = [host for host in serving if instances[host.instance_id].state in ("stopping", *HALTED)]
    refusing = serving if made else [*stopped, *_refuse(context, inventory, [h for h in serving if h not in stopped])]
    train = [host for host in there if host.role == "train"]
    return _Refusing(tuple(refusing), tuple(train) if refusing else ())


def _refuse(context: Context, inventory: Inventory, hosts: Sequence[Host]) -> list[Host]:
    """The running hosts that refuse the key. Raises Unreachable if one does not answer."""
    with Connections(inventory, context.stack.ssh) as connections:
        refusing = []
        for host in sorted(hosts, key=lambda host: host != inventory.bastion):
            try:
                connections.to(host)
            except LoginRefused as error:
                refusing.append(host)
                if error.details.get("host") == inventory.bastion.name:
                    return [inventory.bastion]
        return refusing


def _restart(context: Context, inventory: Inventory, hosts: _Refusing) -> None:
    """Stop the hosts, give them the key as user data, start them, and wait until they let pneumoctl in.

    The GPU host is first: if a run has just started there, EC2 refuses the change and nothing is stopped.
    """
    aws, ids = context.aws, [host.instance_id for host in hosts.restart]
    key = keys.public_key(context.stack.ssh)
    for host in hosts.off:
        _set_user_data(aws, host, user_data_of_train(boot_scripts.read(aws, host.instance_id), key, host.user))
    console.note(f"restarting {', '.join(host.name for host in hosts.restart)} with the key in their user data")
    try:
        aws.stop([each for each in aws.instances(context.settings.stack) if each.id in ids])
        for host in hosts.restart:
            _set_user_data(aws, host, user_data(key, host.user).encode())
    except BaseException:
        with suppress(PneumoError):  # EC2 starts none that is still stopping: the next call does
            aws.call("ec2", "start_instances", InstanceIds=ids)
        raise
    finally:
        final_export.forget(context.stack)  # they serve again as soon as they have booted
    aws.call("ec2", "start_instances", InstanceIds=ids)
    boot.wait(context, inventory, hosts.restart)


def _set_user_data(aws: Aws, host: Host, script: bytes) -> None:
    """EC2 changes the user data of a stopped instance only."""
    value: dict[str, Any] = {"Value": script}
    aws.call("ec2", "modify_instance_attribute", InstanceId=host.instance_id, UserData=value)


def refuse_unless_accepted(context: Context) -> None:
    """Raise LoginRefused if the account's key pair would be replaced by a key that the stack's hosts refuse."""
    pairs = [resource for resource in context.terraform.resources() if resource.type == "aws_key_pair"]
    known = any(_same_key(pair.values.get("public_key"), keys.public_key(context.stack.ssh)) for pair in pairs)
    hosts = context.stack.hosts() if pairs and not known else None
    if hosts is None:
        return
    with Connections(hosts, context.stack.ssh) as connections:
        try:
            connections.to(hosts.bastion)
        except LoginRefused:
            raise
        except Unreachable as error:  # as after a change of the operator's address, which `up` repairs
            console.note(f"whether the hosts accept the new SSH key is not known: {error.message}", "yellow")


def _same_key(saved: object, ours: str) -> bool:
    return str(saved or "").split()[:2] == ours.split()[:2]
