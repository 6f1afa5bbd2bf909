"""The plan for hosts on aws, whole: every template, every private address, no secret in what is shown."""

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pneumoctl.files import Tree, bundled
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import Code, Model, Wishes
from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan.steps import Copy, Link, Plan, Put, Run, Step, describe
from pneumoctl.stack import inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.training import host_plan

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
WISHES = Wishes(
    settings=Settings(target="aws"),
    inventory=inventory.from_outputs(OUTPUTS, "198.51.100.1"),
    secrets=SECRETS,
    certificate="CERTIFICATE\n",
    key="KEY\n",
    login="clinician:$2b$hash",
    releases={name: NEW for name, role in ROLES.items() if role in ("web", "app")},
    models={"app-0": MODEL, "app-1": MODEL},
    standing={name: {} for name in ROLES},
)
STANDING = {
    **{f"web-{n}": {"web/current": "releases/r1"} for n in range(2)},
    **{f"app-{n}": {"api/current": "releases/r1", "model/current": "releases/m-1"} for n in range(2)},
}


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps]


def files(plan: Plan) -> dict[tuple[str, str], Put]:
    """(host, path) -> the file."""
    return {
        (step.hosts[0], action.path): action
        for step in plan.steps
        for action in step.actions
        if isinstance(action, Put) and not step.sake
    }


def named(plan: Plan, title: str) -> Step:
    return next(step for step in plan.steps if step.title == title)


def test_no_secret_is_in_what_a_person_sees() -> None:
    lines = "\n".join(describe(configure.plan(WISHES)))

    assert not [value for value in (*SECRETS.values(), "KEY", "$2b$hash") if value in lines]
    assert "write    /etc/redis/users.acl (640, secret)" in lines


def test_no_secret_is_in_a_command() -> None:
    words = [
        word
        for step in configure.plan(WISHES).steps
        for run in (*step.actions, *step.unless, *step.valid, *step.good)
        if isinstance(run, Run)
        for word in run.argv
    ]

    assert not [word for word in words for value in (*SECRETS.values(), "KEY\n", "$2b$hash") if value in word]


def test_every_file_with_a_secret_in_it_is_a_secret_and_nobody_elses_to_read() -> None:
    values = (*SECRETS.values(), "KEY\n", "$2b$hash")
    holding = {
        where: put for where, put in files(configure.plan(WISHES)).items() if any(v in put.content for v in values)
    }

    assert len(holding) == 2 + 2 + 1 + 2  # the API's and the page's environments, the Redis exporter's, key, login
    assert all(put.secret and put.mode & 0o007 == 0 for put in holding.values())


def test_the_private_addresses_are_where_they_belong() -> None:
    made = files(configure.plan(WISHES))

    assert "bind 127.0.0.1 10.20.1.14" in made["app-0", "/etc/redis/redis.conf"].content
    assert "API_URL=http://10.20.1.14:5000,http://10.20.1.15:5000\n" in made["web-1", "/etc/pneumoctl/ui.env"].content
    assert "REDIS_HOST=10.20.1.14\n" in made["app-1", "/etc/pneumoctl/api.env"].content
    assert "10.20.1.15:5000" in made["app-1", "/etc/systemd/system/pneumoctl-api.socket"].content
    nginx = made["nginx", "/etc/nginx/nginx.conf"].content
    assert "10.20.1.12:8080" in nginx and "10.20.1.13:8080" in nginx and "198.51.100.1" in nginx
    scraped = made["monitoring", "/etc/prometheus/prometheus.yml"].content
    assert all(f"10.20.1.{n}:9100" in scraped for n in range(10, 16))


def test_every_template_is_rendered_on_some_target(monkeypatch: pytest.MonkeyPatch) -> None:
    root, asked, real = bundled("templates"), set(), jinja2.FileSystemLoader.get_source

    def recorded(loader: jinja2.FileSystemLoader, environment: jinja2.Environment, name: str) -> Any:
        asked.add(name)
        return real(loader, environment, name)

    monkeypatch.setattr(jinja2.FileSystemLoader, "get_source", recorded)
    configure.plan(WISHES)
    host_plan.plan(host_plan.Order("r", "s", "b", "eu-west-1", "d"), host_plan.Release("r", "l", TREES[1]), 60)

    shipped = {str(file.relative_to(root)) for file in root.rglob("*.j2")}
    assert shipped - asked == {"supervisor/supervisord.conf.j2"}  # the local target's


def test_every_step_has_a_title_of_its_own_and_waits_for_earlier_ones_alone() -> None:
    plan = configure.plan(replace(WISHES, standing=STANDING))
    known: list[str] = []
    for step in plan.steps:
        assert step.title not in known
        assert {*step.after, *step.behind} <= set(known)
        assert set(step.sake) <= set(titles(plan))
        known.append(step.title)


def test_releases_are_switched_one_host_after_another_the_api_first() -> None:
    plan = configure.plan(replace(WISHES, standing=STANDING))
    order = [title for title in titles(plan) if title.startswith(("Serve", "Drain"))]

    assert order == [
        "Serve the API on app-0",
        "Serve the API on app-1",
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
        "Drain web-1 at the front door",
        "Serve the web page on web-1",
    ]
    assert "Configure Redis" in titles(plan) and named(plan, order[0]).after == ("Configure Redis",)
    assert all(before in named(plan, title).after for before, title in itertools.pairwise(order))
    assert all(named(plan, title).gate for title in order if title.startswith("Serve"))


def test_where_nothing_serves_yet_only_the_page_waits_for_the_api() -> None:
    plan = configure.plan(WISHES)
    apis = tuple(f"Serve the API on app-{number}" for number in range(2))

    assert [named(plan, title).after for title in apis] == [("Configure Redis",)] * 2
    assert [named(plan, f"Serve the web page on web-{number}").after for number in range(2)] == [apis] * 2


def test_a_web_host_that_serves_is_drained_before_it_is_switched_and_filled_again() -> None:
    plan = releases.plan(replace(WISHES, standing=STANDING), "web")
    shown = [title for title in titles(plan) if "web" in title and title.split()[0] in ("Drain", "Serve", "Send")]

    assert shown == [
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
        "Drain web-1 at the front door",
        "Serve the web page on web-1",
        "Send requests to all web hosts again",
    ]
    assert "Drain web-1 at the front door" in named(plan, "Serve the web page on web-1").after
    (down,) = (one for one in named(plan, shown[0]).actions if isinstance(one, Put))
    assert [line for line in down.content.splitlines() if "10.20.1.12:8080" in line and "down" in line]
    assert not [line for line in down.content.splitlines() if "10.20.1.13:8080" in line and "down" in line]
    assert named(plan, shown[-1]).behind == ("Serve the web page on web-0", "Serve the web page on web-1")


def test_a_single_web_host_is_not_drained_nor_one_that_serves_nothing_yet() -> None:
    assert not [title for title in titles(configure.plan(WISHES)) if title.startswith("Drain")]


def test_a_new_web_host_serves_before_an_older_one_is_drained() -> None:
    only = {name: links for name, links in STANDING.items() if name != "web-1"}
    plan = releases.plan(replace(WISHES, standing=only), "web")
    shown = [title for title in titles(plan) if "web" in title and title.split()[0] in ("Drain", "Serve")]

    assert shown == [
        "Serve the web page on web-1",
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
    ]
    assert "Serve the web page on web-1" in named(plan, "Drain web-0 at the front door").after


@pytest.mark.parametrize(("there", "good"), [(("r2", "a", "b", "c", "d"), True), (("a", "b", "c", "d", "e"), False)])
def test_the_release_that_is_yet_to_come_counts_among_those_that_are_kept(
    tmp_path: Path, there: tuple[str, ...], good: bool
) -> None:
    probe = named(configure.plan(WISHES), "Drop old releases on web-0").unless[0]
    for name in there:
        (tmp_path / "web/releases" / name).mkdir(parents=True)
    argv = [word.replace(ROOT, str(tmp_path)) for word in probe.argv]

    assert (subprocess.run(argv).returncode == 0) == good


def test_what_served_is_what_a_rollback_goes_to() -> None:
    step = named(configure.plan(replace(WISHES, standing=STANDING)), "Serve the API on app-0")
    links = {one.path: one.target for one in step.actions if isinstance(one, Link)}

    assert links == {
        f"{ROOT}/api/previous": "releases/r1",
        f"{ROOT}/api/current": "releases/r2",
        f"{ROOT}/model/previous": "releases/m-1",
        f"{ROOT}/model/current": "releases/m-2",
    }


def test_what_serves_already_has_the_same_stamp_whatever_served_before() -> None:
    serving_now = {
        "app-0": {"api/current": "releases/r2", "model/current": "releases/m-2", "api/previous": "releases/r1"}
    }
    first = named(configure.plan(WISHES), "Serve the API on app-0")
    again = named(configure.plan(replace(WISHES, standing=serving_now)), "Serve the API on app-0")

    assert first.unless == again.unless


@pytest.mark.parametrize(
    ("kind", "hosts"), [("api", {"app-0", "app-1"}), ("web", {"web-0", "web-1"}), ("model", {"app-0", "app-1"})]
)
def test_a_deploy_of_one_kind_concerns_its_hosts_alone(kind: str, hosts: set[str]) -> None:
    plan = releases.plan(WISHES, kind)

    assert {name for step in plan.steps for name in step.hosts} == hosts


def test_a_release_that_hosts_have_already_is_not_copied() -> None:
    kept = dict.fromkeys(WISHES.releases, Code("r1"))
    plan = configure.plan(replace(WISHES, releases=kept, models={"app-0": Model("m-1"), "app-1": Model("m-1")}))

    assert not [one for step in plan.steps for one in step.actions if isinstance(one, Copy)]


def test_while_a_rotation_is_under_way_both_passwords_are_good() -> None:
    rotated = SECRETS.rotated()
    made = files(configure.plan(replace(WISHES, secrets=rotated)))
    settled = files(configure.plan(replace(WISHES, secrets=rotated.settled())))

    users = made["app-0", "/etc/redis/users.acl"].content
    assert users.count(" #") == 6 and settled["app-0", "/etc/redis/users.acl"].content.count(" #") == 3
    environment = made["app-0", "/etc/pneumoctl/api.env"].content
    assert rotated.api_token in environment and SECRETS.api_token in environment
    # an API that has not restarted yet must know the key before another seals with it
    assert f"\nMAC_KEY={SECRETS.mac_key}\nMAC_KEYS_PREVIOUS={rotated.mac_key_next}\n" in environment
    after = settled["app-0", "/etc/pneumoctl/api.env"].content
    assert SECRETS.api_token not in after
    assert f"\nMAC_KEY={rotated.mac_key_next}\nMAC_KEYS_PREVIOUS={SECRETS.mac_key}\n" in after
