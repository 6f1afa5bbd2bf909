"""A stack on aws as data for tests: terraform's output of its hosts, their desired state, the context of a command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pneumoctl.aws.api import Account
from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.files import Tree
from pneumoctl.hosts.desired import Code, DesiredState, Model
from pneumoctl.stack import inventory
from pneumoctl.stack.inventory import Inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import context

# Terraform's output `hosts`, with a training host.
HOSTS_OUTPUT = {
    name: {
        "role": name.split("-")[0],
        "instance_id": f"i-{number}",
        "private_ip": f"10.20.1.{number}",
        "public_ip": ip,
        "type": "t3.small",
    }
    for number, (name, ip) in enumerate(
        {
            "nginx": None,
            "monitoring": "198.51.100.9",
            "web-0": None,
            "app-0": None,
            "app-1": None,
            "train": None,
        }.items()
    )
}

# A stack of six hosts without a training host, before an update of both releases.
ROLES = {"nginx": "nginx", "monitoring": "monitoring", "web-0": "web", "web-1": "web", "app-0": "app", "app-1": "app"}
OUTPUTS = {
    name: {
        "role": role,
        "instance_id": f"i-{number}",
        "private_ip": f"10.20.1.{number}",
        "public_ip": None,
        "type": "t",
    }
    for number, (name, role) in enumerate(ROLES.items(), 10)
}
SECRETS = Secrets("redis-secret", "mac-secret", "token-secret")
TREES = (Tree("/src/webapp", "d1"), Tree("/src/model", "d2"))
NEW, MODEL = Code("r2", "lock", TREES), Model("m-2", Tree("/src/bundle", "d3"))
DESIRED = DesiredState(
    settings=Settings(target="aws"),
    inventory=inventory.from_outputs(OUTPUTS, "198.51.100.1"),
    secrets=SECRETS,
    certificate="CERTIFICATE\n",
    key="KEY\n",
    releases={name: NEW for name, role in ROLES.items() if role in ("web", "app")},
    models={"app-0": MODEL, "app-1": MODEL},
    current_links={name: {} for name in ROLES},
    backup_to=("the-bucket", "eu-west-1"),
)
CURRENT_LINKS = {
    **{f"web-{n}": {"web/current": "releases/r1"} for n in range(2)},
    **{f"app-{n}": {"api/current": "releases/r1", "model/current": "releases/m-1"} for n in range(2)},
}


def stack_of(names: Sequence[str]) -> Inventory:
    """The inventory of a stack with hosts of these names."""
    outputs = {
        name: {
            "role": name.partition("-")[0],
            "instance_id": f"i-{number}",
            "private_ip": f"10.0.{number}.1",
            "public_ip": None,
            "type": "t",
        }
        for number, name in enumerate(names)
    }
    return inventory.from_outputs(outputs, "198.51.100.1")


def aws_context(aws: Any, **settings: Any) -> context.Context:
    """The context of a command on stack t, whose AWS client is `aws` and whose directory does not exist."""
    stack = Stack("t", Path("/nowhere"))
    account = Account("123456789012", "arn:aws:iam::123456789012:user/me")
    terraform = Terraform(stack.terraform, {}, stack.layout.logs)
    return context.Context(
        Settings(stack="t", target="aws", region="eu-west-1", **settings), stack, aws, account, terraform
    )
