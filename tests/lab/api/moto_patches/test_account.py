"""What the account offers and allows: images, instance types, quotas, bucket policies, budgets, alarms."""

import json
from typing import Any

import pytest

from tests.lab.api.client import Api, VpcIds, code, describe_instance, instance

REGION = "us-west-2"


DEBIAN = "136693071363"


def newest(ec2: Any, owner: str, name: str) -> str:
    images = ec2.describe_images(Owners=[owner], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    return str(max(images, key=lambda image: image["CreationDate"])["Name"])


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
def test_images_are_found_by_owner_and_date(api: Api, region: str) -> None:
    ec2 = api.client("ec2", region=region)
    assert newest(ec2, DEBIAN, "debian-12-amd64-*") == "debian-12-amd64-20250814-2204"
    assert newest(ec2, "amazon", "Deep Learning Base OSS * (Ubuntu 24.04) *").endswith("20250523")
    assert newest(ec2, "amazon", "*Proprietary*(Ubuntu 22.04) 2025*").endswith("20250602")
    parameter = api.client("ssm", region=region).get_parameter(Name="/aws/service/debian/release/12/latest/amd64")
    (image,) = ec2.describe_images(ImageIds=[parameter["Parameter"]["Value"]])["Images"]
    assert image["Name"] == "debian-12-amd64-20250814-2204"
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 8


def zones(ec2: Any, kind: str) -> list[str]:
    filters = [{"Name": "instance-type", "Values": [kind]}]
    offerings = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=filters)
    return sorted(offer["Location"] for offer in offerings["InstanceTypeOfferings"])


def test_p3_is_there_and_can_be_ended(ec2: Any, net: VpcIds) -> None:
    (kind,) = ec2.describe_instance_types(InstanceTypes=["p3.2xlarge"])["InstanceTypes"]
    assert (kind["VCpuInfo"]["DefaultVCpus"], kind["GpuInfo"]["Gpus"][0]["Name"]) == (8, "V100")
    assert "us-west-2a" in zones(ec2, "p3.2xlarge")
    id = instance(ec2, net, "p3.2xlarge")
    ec2.terminate_instances(InstanceIds=[id])
    assert describe_instance(ec2, id)["State"]["Name"] == "terminated"


def test_a_type_can_be_missing_from_a_zone_or_a_region(api: Api, ec2: Any, net: VpcIds) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    own_zone = ec2.describe_subnets(SubnetIds=[net.subnet])["Subnets"][0]["AvailabilityZone"]
    before = zones(ec2, "g5.xlarge")
    with api.fault(kind="not-offered", name="g5.xlarge", zone=own_zone):
        assert zones(ec2, "g5.xlarge") == [zone for zone in before if zone != own_zone]
        with pytest.raises(errors.ClientError) as failure:
            instance(ec2, net, "g5.xlarge")
        assert code(failure) == "Unsupported"
    with api.fault(kind="not-offered", name="g5.xlarge"):
        assert zones(ec2, "g5.xlarge") == []
    assert zones(ec2, "g5.xlarge") == before


@pytest.mark.parametrize(
    ("service", "number"),
    [("ec2", "L-1216C47A"), ("ec2", "L-DB2E81BA"), ("ec2", "L-417A185B"), ("ec2", "L-0263D0A3"), ("vpc", "L-F678F1CE")],
)
def test_quotas_are_listed_and_set(api: Api, service: str, number: str) -> None:
    quotas = api.client("service-quotas", region=REGION)
    usual = quotas.get_service_quota(ServiceCode=service, QuotaCode=number)["Quota"]["Value"]
    assert usual > 0
    with api.fault(kind="quota", name=number, value=0):
        assert quotas.get_service_quota(ServiceCode=service, QuotaCode=number)["Quota"]["Value"] == 0
        listed = quotas.list_service_quotas(ServiceCode=service)["Quotas"]
        assert [quota["Value"] for quota in listed if quota["QuotaCode"] == number] == [0]
    assert quotas.get_service_quota(ServiceCode=service, QuotaCode=number)["Quota"]["Value"] == usual


def test_quotas_are_kept(api: Api, ec2: Any, net: VpcIds) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    stopped = instance(ec2, net, "g5.xlarge")
    ec2.stop_instances(InstanceIds=[stopped])
    for number, expected, ask in (
        ("L-DB2E81BA", "VcpuLimitExceeded", lambda: instance(ec2, net, "g5.xlarge")),
        ("L-DB2E81BA", "VcpuLimitExceeded", lambda: ec2.start_instances(InstanceIds=[stopped])),
        ("L-417A185B", "VcpuLimitExceeded", lambda: instance(ec2, net, "p3.2xlarge")),
        ("L-1216C47A", "VcpuLimitExceeded", lambda: instance(ec2, net, "t3.micro")),
        ("L-0263D0A3", "AddressLimitExceeded", lambda: ec2.allocate_address(Domain="vpc")),
        ("L-F678F1CE", "VpcLimitExceeded", lambda: ec2.create_vpc(CidrBlock="10.60.0.0/16")),
    ):
        with api.fault(kind="quota", name=number, value=0), pytest.raises(errors.ClientError) as failure:
            ask()
        assert code(failure) == expected


def test_an_unknown_quota(api: Api, refused: Any) -> None:
    with refused as failure:
        api.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000")
    assert code(failure) == "NoSuchResourceException"


@pytest.mark.parametrize(("secure", "allowed"), [("false", True), ("true", False)])
def test_a_bucket_policy_is_read_with_its_condition(api: Api, secure: str, allowed: bool) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    s3, name = api.client("s3"), f"policy-{secure}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    condition = {"Bool": {"aws:SecureTransport": secure}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{name}/*"}
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Statement": [{**deny, "Condition": condition}]}))
    if allowed:
        s3.put_object(Bucket=name, Key="k", Body=b"x")
    else:
        with pytest.raises(errors.ClientError) as failure:
            s3.put_object(Bucket=name, Key="k", Body=b"x")
        assert code(failure) == "AccessDenied"


def test_budgets_list_their_subscribers_and_tags(api: Api) -> None:
    budgets = api.client("budgets")
    notification = {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": 80.0}
    subscribers = [{"SubscriptionType": "EMAIL", "Address": "ops@example.com"}]
    budgets.create_budget(
        AccountId="123456789012",
        Budget={
            "BudgetName": "month",
            "BudgetLimit": {"Amount": "50", "Unit": "USD"},
            "TimeUnit": "MONTHLY",
            "BudgetType": "COST",
        },
        NotificationsWithSubscribers=[{"Notification": notification, "Subscribers": subscribers}],
        ResourceTags=[{"Key": "stack", "Value": "one"}],
    )
    asked = {"AccountId": "123456789012", "BudgetName": "month", "Notification": notification}
    assert budgets.describe_subscribers_for_notification(**asked)["Subscribers"] == subscribers
    arn = "arn:aws:budgets::123456789012:budget/month"
    assert budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"] == [{"Key": "stack", "Value": "one"}]


def test_an_alarm_stops_its_instance(api: Api, ec2: Any, net: VpcIds) -> None:
    id, watch = instance(ec2, net), api.client("cloudwatch", region=REGION)
    watch.put_metric_alarm(
        AlarmName="idle",
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Statistic="Average",
        ComparisonOperator="LessThanThreshold",
        Threshold=3,
        Period=300,
        EvaluationPeriods=6,
        Dimensions=[{"Name": "InstanceId", "Value": id}],
        AlarmActions=["arn:aws:automate:us-west-2:ec2:stop"],
    )
    watch.set_alarm_state(AlarmName="idle", StateValue="OK", StateReason="busy")
    assert describe_instance(ec2, id)["State"]["Name"] == "running"
    watch.set_alarm_state(AlarmName="idle", StateValue="ALARM", StateReason="idle")
    assert describe_instance(ec2, id)["State"]["Name"] == "stopped"
