"""The preflight checks of the aws target: this machine and the account. Changes nothing."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from pneumoctl import installation
from pneumoctl.aws.api import Account
from pneumoctl.aws.ec2 import STACK_TAG, Aws
from pneumoctl.aws.errors import SKEW_LIMIT_S
from pneumoctl.aws.leftovers import bucket_name, bucket_tags
from pneumoctl.aws.public_address import public_address
from pneumoctl.aws.terraform import query
from pneumoctl.aws.terraform.query import INSTALL
from pneumoctl.errors import PneumoError
from pneumoctl.ssh import keys
from pneumoctl.stack.saved import HOSTS
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import instance_types, quotas
from pneumoctl.targets.common import preflight
from pneumoctl.targets.common.checks import Row

DISK_MB = 1000  # terraform's provider is most of it
LONGEST_BUCKET = 63
# As terraform/hosts.tf chooses them: owner and names.
DEBIAN = ("136693071363", "debian-12-amd64-*")
GPU = ("amazon", "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) ????????")
GPU_P3 = (
    "amazon",
    "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 2?.04) 2024????",
    "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 2?.04) 2025????",
)

Check = Callable[[], Iterator[Row]]


def rows(settings: Settings, stack: Stack) -> list[Row]:
    """The results of all checks of the aws target. Without a region or credentials, the checks of AWS are left out."""
    with ThreadPoolExecutor(max_workers=20) as pool:
        here = [pool.submit(_rows_of, *check) for check in _here(settings, stack).items()]
        login, there = [], []
        try:
            aws = Aws(settings.profile, settings.region)
            login = [Row("region", True, aws.region)]
            login += _login(aws.identity())
            there = [pool.submit(_rows_of, *check) for check in _there(settings, aws).items()]
        except PneumoError as error:
            login.append(Row("credentials" if login else "region", False, error.message, error.hint))
        return [*login, *(row for answer in (*there, *here) for row in answer.result())]


def _rows_of(check: str, ask: Check) -> list[Row]:
    """The rows of a check; a check that raises becomes a failing row, with the hint as its fix."""
    try:
        return list(ask())
    except PneumoError as error:
        return [Row(check, False, error.message, error.hint)]


def _here(settings: Settings, stack: Stack) -> dict[str, Check]:
    return {
        "terraform": _terraform,
        "ssh": _ssh,
        "packages": _packages,
        "model": lambda: preflight.model(settings),
        "key": lambda: _key(stack),
        "disk": lambda: preflight.disk(stack.directory, DISK_MB),
        "operator address": lambda: _operator(settings),
    }


def _there(settings: Settings, aws: Aws) -> dict[str, Check]:
    account = aws.identity()
    return {
        "region enabled": lambda: _region(aws),
        "types": lambda: quotas.types(settings, aws),
        "processors": lambda: instance_types.processors_and_gpus(settings, aws),
        "vCPU quota": lambda: quotas.quotas(settings, aws),
        "spot": lambda: quotas.spot(settings, aws),
        "elastic IPs": lambda: quotas.addresses(settings, aws),
        "VPCs": lambda: quotas.vpcs(settings, aws),
        "image Debian": lambda: _image(aws, "image Debian", *DEBIAN, needed=True),
        "image GPU": lambda: _gpu_image(settings, aws),
        "bucket": lambda: _bucket(settings, aws, account),
        "state bucket": lambda: _state_bucket(settings, aws),
    }


def _login(account: Account) -> Iterator[Row]:
    yield Row("credentials", True, f"account {account.id}, {account.arn}")
    if account.skew is not None:
        off = f"{abs(account.skew):.0f} s {'ahead of' if account.skew > 0 else 'behind'} AWS"
        fix = "set the clock: sudo timedatectl set-ntp true"
        yield Row("clock", abs(account.skew) <= SKEW_LIMIT_S, off, fix)


def _terraform() -> Iterator[Row]:
    oldest, beyond = query.SUPPORTED
    version = query.version(os.environ)
    yield Row(
        "terraform", oldest <= version < beyond, ".".join(map(str, version)), f"{INSTALL}, older than {beyond[0]}"
    )


def _ssh() -> Iterator[Row]:
    client = shutil.which("ssh")
    yield Row("ssh client", client is not None, client or "not found", "apt install openssh-client")


def _packages() -> Iterator[Row]:
    missing = installation.missing("aws")
    seen = f"missing: {', '.join(missing)}" if missing else f"{sys.version.split()[0]}, all packages"
    yield Row("packages", not missing, seen, installation.install_command("aws"))


def _key(stack: Stack) -> Iterator[Row]:
    if (stack.ssh / keys.PRIVATE).exists() or (stack.directory / HOSTS).exists():
        keys.public_key(stack.ssh)
        yield Row("key", True, f"{stack.ssh / keys.PRIVATE}, only yours")
    else:
        yield Row("key", True, "will be generated")


def _operator(settings: Settings) -> Iterator[Row]:
    yield Row("operator address", True, settings.operator_cidr or f"{public_address()}/32 (asked)")


def _region(aws: Aws) -> Iterator[Row]:
    answer = aws.call("ec2", "describe_regions", RegionNames=[aws.region], AllRegions=True)["Regions"]
    status = answer[0].get("OptInStatus", "opt-in-not-required") if answer else "not-opted-in"
    fix = f"aws account enable-region --region-name {aws.region}"
    yield Row("region enabled", status != "not-opted-in", status.replace("-", " "), fix)


def _image(aws: Aws, check: str, owner: str, *names: str, needed: bool) -> Iterator[Row]:
    wanted = [{"Name": "name", "Values": list(names)}, {"Name": "state", "Values": ["available"]}]
    images = aws.call("ec2", "describe_images", Owners=[owner], Filters=wanted, IncludeDeprecated=True)["Images"]
    if images:
        newest = max(images, key=lambda image: str(image.get("CreationDate", "")))
        yield Row(check, True, f"{newest['Name']} ({newest['ImageId']})")
    else:
        later = "" if needed else ": training will need one"
        yield Row(
            check, not needed, f"none named “{names[-1]}” of {owner} in {aws.region}{later}", "use another region"
        )


def _gpu_image(settings: Settings, aws: Aws) -> Iterator[Row]:
    wanted = GPU_P3 if settings.gpu_type.startswith("p3") else GPU
    yield from _image(aws, "image GPU", *wanted, needed=settings.gpu_host)


def _bucket(settings: Settings, aws: Aws, account: Account) -> Iterator[Row]:
    usual = bucket_name(settings.stack, account.id, aws.region)
    name = settings.bucket or usual
    other = 'set bucket = "ANOTHER-NAME" in pneumo.toml'
    if len(name) > LONGEST_BUCKET:
        yield Row("bucket", False, f"{name} is longer than {LONGEST_BUCKET} characters", other)
        return
    try:
        where = aws.call("s3", "head_bucket", Bucket=name).get("BucketRegion", aws.region)
    except PneumoError as error:
        if error.details.get("aws_code") == "404":
            yield Row("bucket", True, f"{name} is free")
        elif error.details.get("aws_code") in ("403", "301"):
            yield Row("bucket", False, f"{name} belongs to another account, or s3:ListBucket is denied", other)
        else:
            raise
        return
    owner = bucket_tags(aws, name).get(STACK_TAG, settings.stack if name == usual else "")
    if owner == settings.stack and where == aws.region:
        yield Row("bucket", True, f"{name} is this stack's")
    else:
        whose = f"of stack {owner}" if owner else "not of a stack"
        yield Row("bucket", False, f"{name} exists already, in {where}, {whose}", other)


def _state_bucket(settings: Settings, aws: Aws) -> Iterator[Row]:
    if not settings.state_bucket:
        return
    try:
        aws.call("s3", "head_bucket", Bucket=settings.state_bucket)
    except PneumoError as error:
        if error.details.get("aws_code") not in ("404", "403", "301"):
            raise
        made = f"aws s3 mb s3://{settings.state_bucket} --region {aws.region}"
        seen = f"{settings.state_bucket} does not exist, or is not yours"
        yield Row("state bucket", False, seen, f"{made}, or set state_bucket to a bucket of yours, or to nothing")
    else:
        yield Row("state bucket", True, settings.state_bucket)
