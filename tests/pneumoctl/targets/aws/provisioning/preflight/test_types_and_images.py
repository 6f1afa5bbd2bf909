"""The preflight checks the types and the images that the region offers."""

import re
from dataclasses import replace

import pytest

from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.provisioning import preflight
from tests.pneumoctl.cloud import Cloud
from tests.pneumoctl.targets.aws.provisioning.preflight.checked_rows import SETTINGS, TERRAFORM, failed_rows, row_of

pytest_plugins = ["tests.pneumoctl.cloud_fixture"]


def test_a_type_that_is_not_offered(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("not-offered", name="t3.medium")
    row = row_of(stack, "types t3.medium")
    assert (row.good, row.seen) == (False, "t3.medium is not offered in eu-west-1")
    assert row.fix.startswith("set app_type to a type that is: t3")


def test_a_misspelt_type(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "types t3.meduim", replace(SETTINGS, app_type="t3.meduim"))
    assert not row.good
    assert "t3.medium" in row.fix


def test_types_that_are_never_in_one_zone(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("not-offered", name="t3.micro", zone="eu-west-1a")
    cloud.fault("not-offered", name="t3.small", zone="eu-west-1b")
    cloud.fault("not-offered", name="t3.small", zone="eu-west-1c")
    row = row_of(stack, "types t3.micro, t3.small")
    assert (row.good, row.seen) == (False, "no zone of eu-west-1 offers t3.micro and t3.small together")
    assert "nginx_type or monitoring_type" in row.fix


def test_a_gpu_type_that_is_not_offered_fails_only_with_a_gpu_host(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("not-offered", name="g5.xlarge")
    row = row_of(stack, "types g5.xlarge")
    assert row.good
    assert "training will need another" in row.seen
    row = row_of(stack, "types g5.xlarge", replace(SETTINGS, gpu_host=True))
    assert not row.good
    assert row.fix.startswith("set gpu_type to a type that is: g")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("g4ad.xlarge", "g4ad.xlarge has an AMD Radeon Pro V520, which has no CUDA"),
        ("p2.xlarge", "p2.xlarge has an NVIDIA K80, which is too old for the images' driver"),
        ("g3.4xlarge", "g3.4xlarge has an NVIDIA M60, which is too old for the images' driver"),
        ("g6f.large", "g6f.large has a part of an NVIDIA L4, which needs a driver that the images lack"),
        ("t3.large", "t3.large has no GPU"),
    ],
)
def test_a_gpu_that_the_training_cannot_use_fails_only_with_a_gpu_host(
    cloud: Cloud, stack: Stack, kind: str, why: str
) -> None:
    row = row_of(stack, "GPU", replace(SETTINGS, gpu_type=kind))
    assert (row.good, row.seen) == (True, f"{why}: training will need another type")
    row = row_of(stack, "GPU", replace(SETTINGS, gpu_type=kind, gpu_host=True))
    assert (row.good, row.seen) == (False, why) and "g5.xlarge" in row.fix


@pytest.mark.parametrize("kind", ["g4dn.xlarge", "g5.xlarge", "g6.xlarge", "p3.2xlarge", "p4d.24xlarge"])
def test_a_gpu_that_the_training_can_use(cloud: Cloud, stack: Stack, kind: str) -> None:
    assert row_of(stack, "GPU", replace(SETTINGS, gpu_type=kind, gpu_host=True)).good


def test_every_type_that_the_gpu_host_may_have_is_checked(cloud: Cloud, stack: Stack) -> None:
    failed = failed_rows(stack, replace(SETTINGS, gpu_types="g4dn.xlarge g4ad.xlarge", gpu_host=True))
    assert [row.seen for row in failed] == ["g4ad.xlarge has an AMD Radeon Pro V520, which has no CUDA"]


def test_a_type_with_another_processor_than_the_images(cloud: Cloud, stack: Stack) -> None:
    settings = replace(SETTINGS, web_type="t4g.small", gpu_type="g5g.xlarge")
    row = row_of(stack, "processors", settings)
    assert (row.good, row.seen) == (False, "t4g.small has an arm64 processor, and the images are for x86_64")
    assert row.fix == "set web_type to a type for x86_64, as t3.small"
    row = row_of(stack, "processors", replace(settings, gpu_host=True))
    assert not row.good and "g5g.xlarge has an arm64 processor" in row.seen


def test_deprecated_images_are_found_as_by_terraform(cloud: Cloud, stack: Stack) -> None:
    cloud.fault("deprecated", name="")
    assert "debian-12-amd64" in row_of(stack, "image Debian").seen
    text = (TERRAFORM / "hosts.tf").read_text()
    assert text.count('data "aws_ami"') == len(re.findall(r"include_deprecated += true", text)) == 2


def test_images(cloud: Cloud, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "debian-12-amd64" in row_of(stack, "image Debian").seen
    monkeypatch.setattr(preflight, "DEBIAN", ("136693071363", "debian-99-*"))
    monkeypatch.setattr(preflight, "GPU", ("amazon", "No Such Image"))
    assert [row.check for row in failed_rows(stack)] == ["image Debian"]
    assert "training will need one" in row_of(stack, "image GPU").seen
    assert [row.check for row in failed_rows(stack, replace(SETTINGS, gpu_host=True))] == ["image Debian", "image GPU"]


def test_the_image_for_volta_has_its_own_driver(cloud: Cloud, stack: Stack) -> None:
    row = row_of(stack, "image GPU", replace(SETTINGS, gpu_type="p3.2xlarge"))
    assert "Proprietary" in row.seen


def test_images_are_named_as_terraform_names_them() -> None:
    text = (TERRAFORM / "hosts.tf").read_text()
    assert "for year in [2024, 2025]" in text
    text = text.replace("${year}", "2024") + text.replace("${year}", "2025")
    for words in (preflight.DEBIAN, preflight.GPU, preflight.GPU_P3):
        for word in words:
            assert f'"{word}"' in text
