"""DescribeTags, by which tests find what is left."""

from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import aws_api_matches
from moto.ec2.responses.tags import TagResponse
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from tests.lab.api.moto_patches.patch import replaces

KINDS = {  # moto's resource type -> EC2's
    "vpc-elastic-ip": "elastic-ip",
    "flow-logs": "vpc-flow-log",
    "nat-gateway": "natgateway",
    "managed-prefix-list": "prefix-list",
}


@replaces(TagResponse, "describe_tags")
def describe(original: Any, self: Any) -> Any:
    """List the tags of resources that exist, with EC2's resource types, the filter `tag:KEY` and pages.

    (moto also lists deleted resources, has other resource types, and lacks that filter and pages.)
    """
    self.error_on_dryrun()
    listed = _listed_ids(self.ec2_backend)
    matching = [
        {"ResourceId": id, "ResourceType": _kind(id), "Key": key, "Value": value}
        for id, tags in sorted(self.ec2_backend.tags.items())
        if id in listed
        for key, value in sorted(tags.items())
    ]
    filters = self._filters_from_querystring()
    return _page(self, [tag for tag in matching if all(_matches(tag, *item) for item in filters.items())])


def _page(response: Any, found_tags: list[dict[str, str]]) -> Any:
    start = int(response._get_param("NextToken") or 0)
    end = start + int(response._get_param("MaxResults") or 1000)
    return ActionResult({"Tags": found_tags[start:end], "NextToken": str(end) if end < len(found_tags) else None})


def _matches(tag: dict[str, str], name: str, patterns: list[str]) -> bool:
    if name.startswith("tag:"):
        return tag["Key"] == name.removeprefix("tag:") and _matches_any(patterns, tag["Value"])
    field = {"key": "Key", "value": "Value", "resource-id": "ResourceId", "resource-type": "ResourceType"}[name]
    return _matches_any(patterns, tag[field])


def _matches_any(patterns: list[str], value: str) -> bool:
    return any(aws_api_matches(pattern, value) for pattern in patterns)


def _kind(id: str) -> str:
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(id), "")
    return KINDS.get(kind, kind)


def _listed_ids(backend: Any) -> set[str]:
    """The ids that EC2 still lists, as AWS does for an hour also terminated instances and deleted NAT gateways."""
    nested = (backend.subnets, backend.groups)
    flat = (
        *(backend.vpcs, backend.internet_gateways, backend.nat_gateways, backend.route_tables, backend.flow_logs),
        *(backend.volumes, backend.snapshots, backend.enis, backend.amis, backend.launch_templates),
        *(backend.network_acls, backend.dhcp_options_sets, backend.managed_prefix_lists),
        *(collection for outer in nested for collection in outer.values()),
    )
    groups = [group for collection in backend.groups.values() for group in collection.values()]
    return {
        *(id for collection in flat for id in collection),
        *(rule.id for group in groups for rule in (*group.ingress_rules, *group.egress_rules)),
        *(instance.id for reservation in backend.reservations.values() for instance in reservation.instances),
        *(key_pair.id for key_pair in backend.key_pairs.values()),
        *(address.allocation_id for address in backend.addresses),
        *(id for id, endpoint in backend.vpc_end_points.items() if endpoint.state != "deleted"),
    }
