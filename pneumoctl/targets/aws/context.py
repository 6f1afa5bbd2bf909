"""The context of commands on a stack on aws: its account, bucket and terraform, and terraform's variables."""

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
class Context:
    """A stack on aws, with its account and its terraform."""

    settings: Settings
    stack: Stack
    aws: Aws
    account: Account
    terraform: Terraform

    @property
    def bucket(self) -> str:
        """The name of the stack's bucket."""
        default = leftovers.bucket_name(self.settings.stack, self.account.id, self.settings.region)
        return self.settings.bucket or default

    @property
    def may_have_training_host(self) -> bool:
        """Whether there may be a training host: by the settings, the inventory, or terraform's last variables."""
        inventory = self.stack.hosts()
        train = any(host.role == "train" for host in inventory.hosts) if inventory else False
        return self.settings.gpu_host or train or bool(WorkingCopy(self.stack.terraform).variables().get("train_count"))


def login(settings: Settings, stack: Stack) -> tuple[Aws, Account]:
    """Log in. Raises PneumoError without credentials or region, or if they are of another account than the stack."""
    aws = Aws(settings.profile, settings.region)
    account, cloud = aws.identity(), stack.cloud()
    if cloud is not None and cloud.account != account.id:
        raise PneumoError(
            f"stack {stack.name} is in account {cloud.account}, and these credentials are of account {account.id}",
            "use credentials of that account: AWS_PROFILE, or the setting profile",
            Exit.USAGE,
        )
    return aws, account


def open_context(settings: Settings, stack: Stack) -> Context:
    """Log in, and return the context. Changes nothing in AWS."""
    aws, account = login(settings, stack)
    settings = replace(settings, region=aws.region)
    environment = _environment(settings.profile, aws.region)
    terraform = Terraform(stack.terraform, environment, stack.layout.logs / "terraform.log")
    return Context(settings, stack, aws, account, terraform)


def _environment(profile: str, region: str) -> dict[str, str]:
    """The environment of terraform. It would prefer AWS_* keys to the profile, unlike botocore: drop them."""
    environment = dict(os.environ) | {"AWS_REGION": region}
    if profile:
        keys_ = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        return {name: value for name, value in environment.items() if name not in keys_} | {"AWS_PROFILE": profile}
    return environment


def save_stack(context: Context) -> None:
    """Save the location and the secrets of the stack, before anything is created in AWS."""
    settings = context.settings
    context.stack.save_cloud(Cloud(settings.region, settings.profile, context.account.id, context.bucket))
    if context.stack.secrets() is None:
        context.stack.write("secrets.json", asdict(Secrets.generate()))


def variables(context: Context, operator_cidr: str, public_key: str) -> dict[str, Any]:
    """Terraform's variables according to the settings."""
    names = ("web_count", "app_count", "nginx_type", "monitoring_type", "web_type", "app_type", "gpu_type")
    return {
        "stack": context.settings.stack,
        "region": context.settings.region,
        "operator_cidr": operator_cidr,
        "public_key": public_key,
        "bucket": context.bucket,
        "train_count": int(context.settings.gpu_host),
        "backup_days": context.settings.backup_days,
        **{name: getattr(context.settings, name) for name in names},
    }


def desired_variables(context: Context) -> dict[str, Any]:
    """The variables of `up`; looks up the operator's public address unless it is set."""
    cidr = context.settings.operator_cidr or f"{public_address()}/32"
    return variables(context, cidr, keys.key_pair(context.stack.ssh))


def last_applied_variables(context: Context) -> dict[str, Any]:
    """The variables of the last `up`, for commands that must not depend on the operator's present address."""
    saved = WorkingCopy(context.stack.terraform).variables()
    return saved or variables(
        context, context.settings.operator_cidr or "192.0.2.1/32", keys.key_pair(context.stack.ssh)
    )
