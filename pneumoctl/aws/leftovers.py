"""Find the resources of a stack that exist in AWS: by tag, and by name where EC2's tags do not apply."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pneumoctl.aws.api import Account
from pneumoctl.aws.ec2 import STACK_TAG, Aws
from pneumoctl.errors import PneumoError

ADDRESS_TAG = "pneumoctl:address"
FIRST_BOOT = "first-boot-"  # begins the name of the schedule that terraform makes for a new GPU host, not for a run
FIRST_BOOT_ADDRESS = 'aws_scheduler_schedule.first_boot["train"]'  # schedules have no tags
BUCKET_ADDRESS = "aws_s3_bucket.main"  # a bucket may still lack its tags: S3 sets them after the creation
TIMEOUT_S = 60.0
PAUSE_S = 2.0
AT_ONCE = 200  # values in one EC2 filter
# EC2 lists the tags of these also after their end: kind -> operation, list, id, states after the end.
ENDED = {
    "instance": ("describe_instances", "Instances", "InstanceId", {"terminated"}),
    "volume": ("describe_volumes", "Volumes", "VolumeId", {"deleting", "deleted"}),
    "natgateway": ("describe_nat_gateways", "NatGateways", "NatGatewayId", {"deleted", "failed"}),
    "vpc-endpoint": ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", {"deleted"}),
    "spot-instances-request": (
        "describe_spot_instance_requests",
        "SpotInstanceRequests",
        "SpotInstanceRequestId",
        {"cancelled", "closed", "failed"},
    ),
}


@dataclass(frozen=True)
class Remaining:
    """A resource of the stack.

    kind: EC2's resource type, or iam-role, instance-profile, log-group, schedule-group, schedule, bucket, key-pair.
    id: as `terraform import` takes it. address: terraform's, empty if it has none.
    """

    kind: str
    id: str
    address: str
    name: str


def search(aws: Aws, stack: str, bucket: str = "") -> list[Remaining]:
    """All resources of the stack in the region of `aws`, and none of other stacks.

    `bucket`: its name if it is not the default one. Raises PneumoError if one of the queries is denied.
    """
    account = aws.identity()
    queries: tuple[Callable[[], Iterator[Remaining]], ...] = (
        lambda: _ec2(aws, stack),
        lambda: _key_pairs(aws, stack),
        lambda: _roles(aws, stack),
        lambda: _profiles(aws, stack),
        lambda: _log_groups(aws, stack, account),
        lambda: _schedules(aws, stack),
        lambda: _bucket(aws, stack, account, bucket),
    )
    with ThreadPoolExecutor(max_workers=len(queries)) as pool:
        answers = [pool.submit(lambda query: list(query()), query) for query in queries]
        resources = (resource for answer in answers for resource in answer.result())
        return sorted(resources, key=lambda resource: (resource.kind, resource.id))


def wait_until_gone(aws: Aws, stack: str, bucket: str = "", timeout: float = TIMEOUT_S) -> list[Remaining]:
    """The resources that remain after everything was deleted; polls until none do, `timeout` seconds at most.

    AWS lists deleted resources for a while.
    """
    deadline = time.monotonic() + timeout
    left = search(aws, stack, bucket)
    while left and time.monotonic() < deadline:
        time.sleep(min(PAUSE_S, timeout))
        left = search(aws, stack, bucket)
    return left


def address(tag: str) -> str:
    """Terraform's address for the value of an address tag: `aws_instance.host:web-0` is aws_instance.host["web-0"]."""
    base, _, key = tag.partition(":")
    return f'{base}["{key}"]' if key else base


def bucket_name(stack: str, account: str, region: str) -> str:
    """The default name of the stack's bucket; terraform/storage.tf has the same rule."""
    return f"pneumoctl-{stack}-{account}-{region}"


def _ec2(aws: Aws, stack: str) -> Iterator[Remaining]:
    filters = [{"Name": "key", "Values": [STACK_TAG]}, {"Name": "value", "Values": [stack]}]
    listed = aws.items("ec2", "describe_tags", "Tags", Filters=filters)
    kinds = {each["ResourceId"]: each["ResourceType"] for each in listed if each["Value"] == stack}
    kinds = {id: kind for id, kind in kinds.items() if kind != "key-pair"}
    alive = {kind: _alive(aws, stack, kind) for kind in ENDED if kind in kinds.values()}
    there = [id for id, kind in kinds.items() if kind not in alive or id in alive[kind]]
    tags: dict[str, dict[str, str]] = {id: {} for id in there}
    for some in _chunks(there):
        for each in aws.items("ec2", "describe_tags", "Tags", Filters=[{"Name": "resource-id", "Values": some}]):
            tags[each["ResourceId"]][each["Key"]] = each["Value"]
    for id in there:
        # A root disk has the address tag of its host, and no address of its own.
        where = "" if kinds[id] == "volume" else address(tags[id].get(ADDRESS_TAG, ""))
        yield Remaining(kinds[id], id, where, tags[id].get("Name", ""))


_FILTERS = {"natgateway": "Filter"}  # as the API spells it


def _alive(aws: Aws, stack: str, kind: str) -> set[str]:
    """The resources of a kind that exist, and not only their tags."""
    operation, listing, key, ended = ENDED[kind]
    wanted = {_FILTERS.get(kind, "Filters"): [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]}
    alive = set()
    for page in aws.pages("ec2", operation, **wanted):
        for group in page.get("Reservations", [page]):
            alive |= {each[key] for each in group.get(listing, ()) if _state(each) not in ended}
    return alive


def _state(each: Mapping[str, Any]) -> str:
    state = each["State"]
    return str(state["Name"] if isinstance(state, Mapping) else state).lower()


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def _key_pairs(aws: Aws, stack: str) -> Iterator[Remaining]:
    wanted = [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]
    for each in aws.call("ec2", "describe_key_pairs", Filters=wanted)["KeyPairs"]:
        yield _named("key-pair", each["KeyName"], _tags(each["Tags"]))


def _roles(aws: Aws, stack: str) -> Iterator[Remaining]:
    for name in _ours(aws, stack, aws.items("iam", "list_roles", "Roles"), "RoleName"):
        tags = _tags(aws.call("iam", "get_role", RoleName=name)["Role"].get("Tags", ()))
        if tags.get(STACK_TAG) == stack:
            yield _named("iam-role", name, tags)


def _profiles(aws: Aws, stack: str) -> Iterator[Remaining]:
    listed = aws.items("iam", "list_instance_profiles", "InstanceProfiles")
    for name in _ours(aws, stack, listed, "InstanceProfileName"):
        profile = aws.call("iam", "get_instance_profile", InstanceProfileName=name)["InstanceProfile"]
        tags = _tags(profile.get("Tags", ()))
        if tags.get(STACK_TAG) == stack:
            yield _named("instance-profile", name, tags)


def _ours(aws: Aws, stack: str, listed: Iterator[Any], key: str) -> list[str]:
    """The names in IAM, which has no regions, that may be of this stack and region. The caller also checks the tag."""
    wanted = re.compile(rf"pneumoctl-{re.escape(stack)}-.*-{re.escape(aws.region)}")
    return [each[key] for each in listed if wanted.fullmatch(each[key])]


def _log_groups(aws: Aws, stack: str, account: Account) -> Iterator[Remaining]:
    partition = account.arn.split(":")[1]
    for each in aws.items("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=f"pneumoctl-{stack}-"):
        name = each["logGroupName"]
        arn = f"arn:{partition}:logs:{aws.region}:{account.id}:log-group:{name}"
        tags = aws.call("logs", "list_tags_for_resource", resourceArn=arn)["tags"]
        # One without a tag was created again by flow logs delivered after its deletion.
        if tags.get(STACK_TAG, stack if name == f"pneumoctl-{stack}-flow-logs" else "") == stack:
            yield _named("log-group", name, tags)


def _schedules(aws: Aws, stack: str) -> Iterator[Remaining]:
    for group in aws.items("scheduler", "list_schedule_groups", "ScheduleGroups", NamePrefix=f"pneumoctl-{stack}"):
        tags = _tags(aws.call("scheduler", "list_tags_for_resource", ResourceArn=group["Arn"]).get("Tags", ()))
        if tags.get(STACK_TAG) != stack or group.get("State") == "DELETING":
            continue
        yield _named("schedule-group", group["Name"], tags)
        for each in aws.items("scheduler", "list_schedules", "Schedules", GroupName=group["Name"]):
            where = FIRST_BOOT_ADDRESS if each["Name"].startswith(FIRST_BOOT) else ""
            yield Remaining("schedule", f"{group['Name']}/{each['Name']}", where, each["Name"])


def _bucket(aws: Aws, stack: str, account: Account, chosen: str) -> Iterator[Remaining]:
    usual = bucket_name(stack, account.id, aws.region)
    name = chosen or usual
    try:
        aws.call("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=account.id)
    except PneumoError as error:
        # 403 may be a bucket of another account; one with this account's id in its name is its own: access is denied.
        if error.details.get("aws_code") == "404" or (error.details.get("aws_code") == "403" and name != usual):
            return
        raise
    tags = bucket_tags(aws, name)
    # A bucket with the default name and no tag yet is the stack's; one that the settings name may have existed before.
    if tags.get(STACK_TAG, stack if name == usual else "") == stack:
        yield Remaining("bucket", name, address(tags.get(ADDRESS_TAG, "")) or BUCKET_ADDRESS, name)


def bucket_tags(aws: Aws, name: str) -> dict[str, str]:
    """The tags of a bucket; empty if it has none."""
    try:
        return _tags(aws.call("s3", "get_bucket_tagging", Bucket=name)["TagSet"])
    except PneumoError as error:
        if error.details.get("aws_code") in ("NoSuchTagSet", "NoSuchBucket"):
            return {}
        raise


def _named(kind: str, name: str, tags: Mapping[str, str]) -> Remaining:
    return Remaining(kind, name, address(tags.get(ADDRESS_TAG, "")), name)


def _tags(listed: Any) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in listed}
