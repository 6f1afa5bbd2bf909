"""`up` and `plan` without the SSH key of a stack: which key they make, and what they advise."""

from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.aws.terraform.state import Resource
from pneumoctl.errors import PneumoError
from pneumoctl.ssh import keys
from pneumoctl.ssh.connections import LoginRefused
from pneumoctl.stack.stack import Cloud, Stack
from pneumoctl.targets.aws import context
from pneumoctl.targets.aws.context import Context
from pneumoctl.targets.aws.provisioning import ssh_key
from tests.pneumoctl.targets.aws.provisioning.account_with_hosts import Hosts


def test_a_plan_writes_no_key_and_up_makes_none_for_hosts_that_accept_another(stack: Context) -> None:
    stack.stack.save_cloud(Cloud("eu-west-1", "", "123456789012", "bucket"))
    for make in (False, True):
        with pytest.raises(PneumoError, match="is missing, and its hosts accept no other") as caught:
            context.desired_variables(replace(stack, settings=replace(stack.settings, operator_cidr="a")), make)
        assert "pneumoctl secrets ssh-key" in caught.value.hint
    stack.aws.there.clear()
    new = replace(stack, settings=replace(stack.settings, operator_cidr="192.0.2.1/32"))
    assert context.desired_variables(new, make_key=False)["public_key"].startswith("ssh-ed25519 ")
    assert context.last_applied_variables(new)["public_key"].startswith("ssh-ed25519 ")
    assert not stack.stack.ssh.exists()
    assert context.desired_variables(new, make_key=True)["public_key"] == keys.public_key(stack.stack.ssh)


def test_on_another_machine_up_and_plan_advise_to_use_the_one_that_made_the_stack(
    stack: Context, tmp_path: Path
) -> None:
    elsewhere = replace(
        stack, stack=Stack("t", tmp_path / "elsewhere"), settings=replace(stack.settings, operator_cidr="a")
    )
    for make in (False, True):
        with pytest.raises(PneumoError, match="that another machine made") as caught:
            context.desired_variables(elsewhere, make)
        assert caught.value.hint == f"use that machine, or copy its directory from there to {tmp_path}/elsewhere"


def test_the_account_s_key_pair_is_not_replaced_by_a_key_that_the_hosts_refuse(
    stack: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = keys.key_pair(stack.stack.ssh)

    def saved(key: str) -> None:
        pair = Resource("aws_key_pair.operator", "aws_key_pair", "t", {"public_key": key})
        monkeypatch.setattr(type(stack.terraform), "resources", lambda _: [pair])

    Hosts.refusing = {"nginx"}
    saved(f"{public.rsplit(' ', 1)[0]} another comment")
    ssh_key.refuse_unless_accepted(stack)
    for other in (keys.unsaved_public_key(), ""):  # an imported key pair has no public key
        saved(other)
        with pytest.raises(LoginRefused) as caught:
            ssh_key.refuse_unless_accepted(stack)
        assert "pneumoctl secrets ssh-key" in caught.value.hint
    Hosts.refusing = set()
    ssh_key.refuse_unless_accepted(stack)
