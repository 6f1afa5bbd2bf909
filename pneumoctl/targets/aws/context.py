"""A stack on aws, and what acts on it: whose account, which bucket, and terraform's variables from the settings."""

import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from pneumoctl.aws import leftovers
from pneumoctl.aws.api import Account
from pneumoctl.aws.ec2 import Aws
from pneumoctl.aws.public_address import public_address
from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.ssh import keys
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud, Stack


@dataclass(frozen=True)
class Site:
    """A stack on aws, and what acts on it."""

    settings: Settings
    stack: Stack
    aws: Aws
    account: Account
    terraform: Terraform

    @property
    def bucket(self) -> str:
        """The name of the stack's bucket."""
        usual = leftovers.bucket_name(self.settings.stack, self.account.id, self.settings.region)
        return self.settings.bucket or usual

    @property
    def gpu(self) -> bool:
        """Whether there may be a training host: wished for, planned, or known."""
        known = self.stack.hosts()
        train = any(host.role == "train" for host in known.hosts) if known else False
        return self.settings.gpu_host or train or bool(WorkingCopy(self.stack.terraform).variables().get("train_count"))


def login(settings: Settings, stack: Stack) -> tuple[Aws, Account]:
    """Log in. PneumoError without credentials or region, or with those of another account than the stack's."""
    aws = Aws(settings.profile, settings.region)
    account, cloud = aws.identity(), stack.cloud()
    if cloud is not None and cloud.account != account.id:
        raise PneumoError(
            f"stack {stack.name} is in account {cloud.account}, and these credentials are of account {account.id}",
            "take those of the other: AWS_PROFILE, or the setting profile",
            Exit.USAGE,
        )
    return aws, account


def reach(settings: Settings, stack: Stack) -> Site:
    """Log in; nothing is changed."""
    aws, account = login(settings, stack)
    settings = replace(settings, region=aws.region)
    environment = _environment(settings.profile, aws.region)
    terraform = Terraform(stack.terraform, environment, stack.layout.logs / "terraform.log")
    return Site(settings, stack, aws, account, terraform)


def _environment(profile: str, region: str) -> dict[str, str]:
    """Terraform prefers the variables to a profile and botocore the profile: both must be the same account's."""
    given = dict(os.environ) | {"AWS_REGION": region}
    if profile:
        keys_ = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return {name: value for name, value in given.items() if name not in keys_} | {"AWS_PROFILE": profile}
    return given


def remember(one: Site) -> None:
    """Write down where the stack is, and its secrets, before anything is made there."""
    settings = one.settings
    one.stack.save_cloud(Cloud(settings.region, settings.profile, one.account.id, one.bucket))
    if one.stack.secrets() is None:
        one.stack.write("secrets.json", asdict(Secrets.generate()))


def variables(one: Site, operator_cidr: str, public_key: str) -> dict[str, Any]:
    """Terraform's variables, from the settings."""
    names = ("web_count", "app_count", "nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type")
    return {
        "stack": one.settings.stack,
        "region": one.settings.region,
        "operator_cidr": operator_cidr,
        "public_key": public_key,
        "bucket": one.bucket,
        "train_count": int(one.settings.gpu_host),
        **{name: getattr(one.settings, name) for name in names},
    }


def wishes(one: Site) -> dict[str, Any]:
    """The variables of `up`: the operator's address is asked for unless it is set."""
    cidr = one.settings.operator_cidr or f"{public_address()}/32"
    return variables(one, cidr, keys.key_pair(one.stack.ssh))


def standing(one: Site) -> dict[str, Any]:
    """The variables of the stack as it stands, for what must not depend on where we are now."""
    saved = WorkingCopy(one.stack.terraform).variables()
    return saved or variables(one, one.settings.operator_cidr or "192.0.2.1/32", keys.key_pair(one.stack.ssh))


def require(stack: Stack) -> None:
    """PneumoError unless the stack is on aws."""
    if stack.target == "local":
        hint = "pneumoctl plan shows how its files differ from what they should be"
        raise PneumoError(f"stack {stack.name} is on this machine, not on aws", hint, Exit.USAGE)
    if stack.target == "":
        raise PneumoError(f"there is no stack {stack.name!r}", "pneumoctl up --target aws", Exit.FAILED)
