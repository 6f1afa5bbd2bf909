"""The context of commands on a stack on aws: its account, bucket and terraform, and terraform's variables."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pneumoctl.aws import leftovers
from pneumoctl.aws.api import Account
from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.aws.public_address import public_address
from pneumoctl.aws.terraform import snapshot
from pneumoctl.aws.terraform.runner import Terraform
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import stop
from pneumoctl.ssh import keys
from pneumoctl.stack import runs
from pneumoctl.stack.saved import Cloud
from pneumoctl.stack.settings import Settings, gpu_choices
from pneumoctl.stack.stack import Stack, use_where_made
from pneumoctl.terminal.console import console
from pneumoctl.terminal.report import counted


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
    def made_bucket(self) -> str:
        """The bucket that terraform made for this stack; empty if there is none. No other bucket is ever touched."""
        resources = self.terraform.resources()
        return next((resource.id for resource in resources if resource.address == leftovers.BUCKET_ADDRESS), "")

    def serving_hosts(self) -> list[Instance]:
        """The hosts of the stack that exist in AWS, without training hosts; asked anew each time."""
        hosts = self.aws.instances(self.settings.stack)
        return [host for host in hosts if host.role != "train" and host.state != "shutting-down"]

    @property
    def gpu_type(self) -> str:
        """The type of the training host: that which it has, if the settings name it; else the preferred one."""
        inventory, choices = self.stack.hosts(), gpu_choices(self.settings)
        current = [host.type for host in inventory.hosts if host.role == "train"] if inventory else []
        return next((kind for kind in current if kind in choices), self.settings.gpu_type)

    @property
    def may_have_training_host(self) -> bool:
        """Whether there may be a training host: by the settings, the inventory, or terraform's last variables."""
        return self.settings.gpu_host or _has_training_host(self.stack)


def _has_training_host(stack: Stack) -> bool:
    """Whether there may be a training host by the inventory or terraform's last variables."""
    return stack.may_have_training_host or bool(WorkingCopy(stack.terraform).variables().get("train_count"))


def may_have_gpu(stack: Stack) -> bool:
    """Whether, by what this machine knows, a GPU host of the stack exists or a run on a GPU has not ended."""
    return _has_training_host(stack) or bool(runs.list_open(stack))


def login(settings: Settings, stack: Stack) -> tuple[Aws, Account]:
    """Log in. Raises PneumoError without credentials or region, or if they are of another account than the stack."""
    aws = Aws(settings.profile, settings.region)
    account, cloud = aws.identity(), stack.cloud()
    if cloud is not None and cloud.account not in ("", account.id):
        raise PneumoError(
            f"stack {stack.name} is in account {cloud.account}, and these credentials are of account {account.id}",
            "use credentials of that account: AWS_PROFILE, or the setting profile",
            Exit.USAGE,
        )
    return aws, account


def asking_for_gpu(settings: Settings, stack: Stack) -> AbstractContextManager[None]:
    """For a command that shows or uses the GPU host: exit code 7 if AWS does not answer and there may be one."""
    return stop.requiring_answer(settings, stack.name, may_have_gpu(stack))


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


@contextmanager
def read_only(settings: Settings, stack: Stack) -> Iterator[Context]:
    """Log in, and yield a context for a command that changes nothing: it needs no lock, and locks nothing."""
    context = open_context(settings, stack)
    with snapshot.copied(context.terraform) as terraform:
        if terraform.outdated:
            console.warn("terraform is changing the stack right now: what is shown may be out of date")
        yield replace(context, terraform=terraform)


def save_stack(context: Context) -> None:
    """Save the location of the stack, before anything is created in AWS."""
    settings = context.settings
    context.stack.save_cloud(Cloud(settings.region, settings.profile, context.account.id, context.bucket))


def variables(context: Context, operator_cidr: str, public_key: str) -> dict[str, Any]:
    """Terraform's variables according to the settings."""
    names = ("web_count", "app_count", "nginx_type", "monitoring_type", "web_type", "app_type")
    return {
        "stack": context.settings.stack,
        "region": context.settings.region,
        "operator_cidr": operator_cidr,
        "public_key": public_key,
        "bucket": context.bucket,
        "train_count": int(context.settings.gpu_host),
        "gpu_type": context.gpu_type,
        "backup_days": context.settings.backup_days,
        **{name: getattr(context.settings, name) for name in names},
    }


def desired_variables(context: Context, make_key: bool) -> dict[str, Any]:
    """The variables of `up`; looks up the operator's public address unless it is set. `make_key`: for a new stack."""
    cidr = context.settings.operator_cidr or f"{public_address()}/32"
    return variables(context, cidr, _public_key(context, make_key))


def _public_key(context: Context, make: bool) -> str:
    """The stack's public key. Raises PneumoError if it is missing although there are hosts, which accept no other."""
    directory = context.stack.ssh
    missing = not (directory / keys.PRIVATE).exists()
    if missing and not (hosts := context.serving_hosts()):
        return keys.key_pair(directory) if make else keys.unsaved_public_key()
    if missing and context.stack.made_elsewhere:
        message = f"stack {context.stack.name} has {counted(len(hosts), 'host')} that another machine made"
        message += ": this one has neither its directory nor its keys"
        raise PneumoError(message, use_where_made(context.stack.directory))
    return keys.key_pair(directory) if make and not missing else keys.public_key(directory)


def last_applied_variables(context: Context) -> dict[str, Any]:
    """The variables of the last `up`, for commands that must not depend on the operator's present address."""
    saved = WorkingCopy(context.stack.terraform).variables()
    return saved or variables(context, context.settings.operator_cidr or "192.0.2.1/32", keys.unsaved_public_key())
