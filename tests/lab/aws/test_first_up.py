"""The first `up` of a stack, and the output of every read-only command."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab.first_up import FirstUp
from tests.lab.stack_operator import HOSTS, Operator


def test_up_from_nothing_makes_every_host(first_up: FirstUp, operator: Operator) -> None:
    assert {host["name"] for host in first_up.document["hosts"]} == {*HOSTS, "train"}
    assert {host["name"] for host in first_up.small_stack["hosts"]} == set(HOSTS) - {"app-1"}
    assert {f'aws_instance.host["{name}"]' for name in ("app-1", "train")} < set(first_up.document["changed"])
    assert first_up.document["address"] == operator.inventory_host("nginx")["public_address"]
    instances = {host["name"]: (host["api"], host["state"]) for host in operator.lab.hosts() if host["state"] != "gone"}
    assert instances == {**dict.fromkeys(HOSTS, ("running", "up")), "train": ("stopped", "down")}


def test_every_boot_script_has_ended_well(first_up: FirstUp, operator: Operator) -> None:
    assert {operator.lab.fault.run_on_host(name, ["cat", "/var/lib/pneumoctl/boot"]) for name in HOSTS} == {"ok\n"}


def test_cloud_init_reports_no_error(first_up: FirstUp, operator: Operator) -> None:
    status = json.loads(operator.lab.fault.run_on_host("nginx", ["cloud-init", "status", "--format", "json"]))
    assert (status["status"], status["errors"]) == ("done", [])
    assert status["datasource"].startswith("nocloud")


def test_every_pinned_key_is_the_hosts_own(first_up: FirstUp, operator: Operator) -> None:
    pinned = dict(line.split(" ", 1) for line in (operator.directory / "ssh/known_hosts").read_text().splitlines())
    assert pinned.pop(
        str(operator.inventory_host("train")["instance_id"])
    )  # it is stopped: its key cannot be read there
    own = {
        operator.inventory_host(name)["instance_id"]: " ".join(
            operator.lab.fault.run_on_host(name, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]).split()[:2]
        )
        for name in HOSTS
    }

    assert {instance: pinned[instance] for instance in own} == own


def test_another_up_at_the_same_time_names_the_holder_of_the_lock(first_up: FirstUp) -> None:
    assert first_up.concurrent_up.returncode == 5
    assert re.search(r"the stack is locked by pneumoctl up \(process \d+, since 20", first_up.concurrent_up.stderr)
    assert "next: wait for it to end" in first_up.concurrent_up.stderr


def test_status_during_the_first_up_names_the_command_that_works(first_up: FirstUp) -> None:
    assert first_up.status.returncode == 1 and "Traceback" not in first_up.status.stderr
    assert re.search(r"^pneumoctl up \(process \d+, since 20.*\) works on the stack$", first_up.status.stdout, re.M)
    assert "stack default in eu-west-1: NOT UP" in first_up.status.stdout


def test_status_shows_every_host_as_it_should_be(first_up: FirstUp, operator: Operator) -> None:
    document = operator.status()

    assert document["up"] and not document["strays"] and not document["gpu_running"]
    seen = {(host["name"], host["state"], host["ssh"]) for host in document["hosts"] if host["name"] != "train"}
    assert seen == {(name, "running", "booted") for name in HOSTS}


def test_cost_prices_all_that_bills(first_up: FirstUp, operator: Operator) -> None:
    document = operator.json("cost")

    addresses = {line["address"] for line in document["lines"]}
    assert {f'aws_instance.host["{name}"]' for name in HOSTS} < addresses
    assert {"aws_nat_gateway.main", "aws_eip.nat", 'aws_eip.host["nginx"]'} < addresses
    assert 0.1 < document["usd_per_hour"] < 1
    assert 0 < document["usd_so_far"] < 1


def test_ssh_runs_a_command_on_every_host_through_the_bastion(first_up: FirstUp, operator: Operator) -> None:
    def named(host: str) -> str:
        return operator.run("ssh", host, "--", "hostname", "--fqdn").stdout.strip()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(named, HOSTS)) == list(HOSTS)


@pytest.mark.parametrize("code", [0, 7, 255])
def test_ssh_ends_as_the_command_does(first_up: FirstUp, operator: Operator, code: int) -> None:
    document = operator.json("ssh", "app-1", "--", f"echo out; echo err >&2; exit {code}", code=code)

    assert (document["exit"], document["stdout"], document["stderr"]) == (code, "out\n", "err\n")


def test_ssh_knows_no_other_host(first_up: FirstUp, operator: Operator) -> None:
    stderr = operator.run("ssh", "app-2", code=2).stderr

    assert "there is no host 'app-2'; did you mean app-" in stderr
    assert "app-0, app-1, monitoring, nginx, train, web-0" in stderr
