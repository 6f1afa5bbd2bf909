"""The complete plan for hosts on aws: every template, every private address, no secret in what is shown."""

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest

from pneumoctl.files import bundled
from pneumoctl.hosts import configure, releases
from pneumoctl.hosts.desired import Code, Model
from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan import render
from pneumoctl.plan.steps import Copy, Link, Plan, Probe, Put, Run, Step, describe
from pneumoctl.training import host_plan
from tests.pneumoctl.examples import CURRENT_LINKS, DESIRED, SECRETS, TREES
from webapp.api import backup


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps]


def files(plan: Plan) -> dict[tuple[str, str], Put]:
    """(host, path) -> the file."""
    return {
        (step.hosts[0], action.path): action
        for step in plan.steps
        for action in step.actions
        if isinstance(action, Put) and not step.needed_by
    }


def named(plan: Plan, title: str) -> Step:
    return next(step for step in plan.steps if step.title == title)


def test_no_secret_is_in_the_description() -> None:
    lines = "\n".join(describe(configure.plan(DESIRED)))

    assert not [value for value in (*SECRETS.values(), "KEY", "$2b$hash") if value in lines]
    assert "write    /etc/redis/users.acl (640, secret)" in lines


def test_no_secret_is_in_a_command() -> None:
    words = [
        word
        for step in configure.plan(DESIRED).steps
        for run in (*step.actions, *step.done_if, *step.validate, *step.verify)
        if isinstance(run, Run | Probe)
        for word in run.argv
    ]

    assert not [word for word in words for value in (*SECRETS.values(), "KEY\n", "$2b$hash") if value in word]


def test_every_file_with_a_secret_is_marked_and_not_readable_by_others() -> None:
    values = (*SECRETS.values(), "KEY\n", "$2b$hash")
    holding = {
        where: put for where, put in files(configure.plan(DESIRED)).items() if any(v in put.content for v in values)
    }

    assert len(holding) == 2 + 2 + 1 + 2  # the API's and the page's environments, the Redis exporter's, key, login
    assert all(put.secret and put.mode & 0o007 == 0 for put in holding.values())


def test_every_file_has_the_right_private_addresses() -> None:
    made = files(configure.plan(DESIRED))

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
    render.environment.cache_clear()
    configure.plan(DESIRED)
    host_plan.plan(host_plan.Order("r", "s", "b", "eu-west-1", "d"), host_plan.Release("r", "l", TREES[1]), 60)

    shipped = {str(file.relative_to(root)) for file in root.rglob("*.j2")}
    assert shipped - asked == {"supervisor/supervisord.conf.j2"}  # the local target's


def test_titles_and_ids_are_unique_and_steps_wait_for_earlier_ones_only() -> None:
    plan = configure.plan(replace(DESIRED, current_links=CURRENT_LINKS))
    seen: list[str] = []
    assert len(set(titles(plan))) == len(plan.steps)
    for step in plan.steps:
        assert step.id not in seen
        assert {*step.after, *step.after_any_outcome} <= set(seen)
        assert set(step.needed_by) <= {other.id for other in plan.steps}
        seen.append(step.id)


def test_releases_are_switched_one_host_after_another_starting_with_the_api() -> None:
    plan = configure.plan(replace(DESIRED, current_links=CURRENT_LINKS))
    order = [title for title in titles(plan) if title.startswith(("Serve", "Drain"))]

    assert order == [
        "Serve the API on app-0",
        "Serve the API on app-1",
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
        "Drain web-1 at the front door",
        "Serve the web page on web-1",
    ]
    assert "Configure Redis" in titles(plan) and named(plan, order[0]).after == (named(plan, "Configure Redis").id,)
    assert all(named(plan, before).id in named(plan, title).after for before, title in itertools.pairwise(order))
    assert all(named(plan, title).gate for title in order if title.startswith("Serve"))


def test_on_new_hosts_only_the_page_waits_for_the_api() -> None:
    plan = configure.plan(DESIRED)
    steps = [named(plan, f"Serve the API on app-{number}") for number in range(2)]
    apis = tuple(step.id for step in steps)

    assert [step.after for step in steps] == [(named(plan, "Configure Redis").id,)] * 2
    assert [named(plan, f"Serve the web page on web-{number}").after for number in range(2)] == [apis] * 2


def test_a_serving_web_host_is_drained_switched_and_filled_again() -> None:
    plan = releases.plan(replace(DESIRED, current_links=CURRENT_LINKS), "web")
    shown = [title for title in titles(plan) if "web" in title and title.split()[0] in ("Drain", "Serve", "Send")]

    assert shown == [
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
        "Drain web-1 at the front door",
        "Serve the web page on web-1",
        "Send requests to all web hosts again",
    ]
    assert named(plan, "Drain web-1 at the front door").id in named(plan, "Serve the web page on web-1").after
    (down,) = (action for action in named(plan, shown[0]).actions if isinstance(action, Put))
    assert [line for line in down.content.splitlines() if "10.20.1.12:8080" in line and "down" in line]
    assert not [line for line in down.content.splitlines() if "10.20.1.13:8080" in line and "down" in line]
    assert named(plan, shown[-1]).after_any_outcome == tuple(
        named(plan, f"Serve the web page on web-{number}").id for number in range(2)
    )


def test_a_new_web_host_is_not_drained() -> None:
    assert not [title for title in titles(configure.plan(DESIRED)) if title.startswith("Drain")]


def test_a_new_web_host_serves_before_an_older_one_is_drained() -> None:
    only = {name: links for name, links in CURRENT_LINKS.items() if name != "web-1"}
    plan = releases.plan(replace(DESIRED, current_links=only), "web")
    shown = [title for title in titles(plan) if "web" in title and title.split()[0] in ("Drain", "Serve")]

    assert shown == [
        "Serve the web page on web-1",
        "Drain web-0 at the front door",
        "Serve the web page on web-0",
    ]
    assert named(plan, "Serve the web page on web-1").id in named(plan, "Drain web-0 at the front door").after


@pytest.mark.parametrize(("there", "good"), [(("r2", "a", "b", "c", "d"), True), (("a", "b", "c", "d", "e"), False)])
def test_a_release_that_is_not_there_yet_counts_among_those_that_are_kept(
    tmp_path: Path, there: tuple[str, ...], good: bool
) -> None:
    probe = named(configure.plan(DESIRED), "Remove old releases on web-0").done_if[0]
    for name in there:
        (tmp_path / "web/releases" / name).mkdir(parents=True)
    argv = [word.replace(ROOT, str(tmp_path)) for word in probe.argv]

    assert (subprocess.run(argv).returncode == 0) == good


def test_a_switch_remembers_the_release_for_a_rollback() -> None:
    step = named(configure.plan(replace(DESIRED, current_links=CURRENT_LINKS)), "Serve the API on app-0")
    links = {action.path: action.target for action in step.actions if isinstance(action, Link)}

    assert links == {
        f"{ROOT}/api/previous": "releases/r1",
        f"{ROOT}/api/current": "releases/r2",
        f"{ROOT}/model/previous": "releases/m-1",
        f"{ROOT}/model/current": "releases/m-2",
    }


def test_the_stamp_does_not_depend_on_the_previous_release() -> None:
    serving_now = {
        "app-0": {"api/current": "releases/r2", "model/current": "releases/m-2", "api/previous": "releases/r1"}
    }
    first = named(configure.plan(DESIRED), "Serve the API on app-0")
    again = named(configure.plan(replace(DESIRED, current_links=serving_now)), "Serve the API on app-0")

    assert first.done_if == again.done_if


@pytest.mark.parametrize(
    ("kind", "hosts"), [("api", {"app-0", "app-1"}), ("web", {"web-0", "web-1"}), ("model", {"app-0", "app-1"})]
)
def test_a_deploy_of_one_kind_changes_its_hosts_only(kind: str, hosts: set[str]) -> None:
    plan = releases.plan(DESIRED, kind)

    assert {name for step in plan.steps for name in step.hosts} == hosts


def test_the_plan_for_one_host_has_its_steps_and_is_the_same_as_in_the_whole_plan() -> None:
    whole = configure.plan(DESIRED)
    for name in DESIRED.current_links:
        alone = configure.plan(replace(DESIRED, current_links={name: {}}))
        asked = [step for step in alone.steps if step.hosts == (name,)]
        assert asked == [step for step in whole.steps if step.hosts == (name,)]
        assert not [
            step.title for step in alone.steps if "Install the packages" in step.title and name not in step.hosts
        ]


def test_an_existing_release_is_not_copied() -> None:
    existing = dict.fromkeys(DESIRED.releases, Code("r1"))
    plan = configure.plan(replace(DESIRED, releases=existing, models={"app-0": Model("m-1"), "app-1": Model("m-1")}))

    assert not [action for step in plan.steps for action in step.actions if isinstance(action, Copy)]


def test_both_passwords_are_valid_during_a_rotation() -> None:
    rotated = SECRETS.start_rotation()
    made = files(configure.plan(replace(DESIRED, secrets=rotated)))
    settled = files(configure.plan(replace(DESIRED, secrets=rotated.finish_rotation())))

    users = made["app-0", "/etc/redis/users.acl"].content
    assert users.count(" #") == 4 and settled["app-0", "/etc/redis/users.acl"].content.count(" #") == 2
    environment = made["app-0", "/etc/pneumoctl/api.env"].content
    assert rotated.api_token in environment and SECRETS.api_token in environment
    # an API that has not restarted yet must know the key before another seals with it
    assert f"\nMAC_KEY={SECRETS.mac_key}\nMAC_KEYS_PREVIOUS={rotated.mac_key_next}\n" in environment
    after = settled["app-0", "/etc/pneumoctl/api.env"].content
    assert SECRETS.api_token not in after
    assert f"\nMAC_KEY={rotated.mac_key_next}\nMAC_KEYS_PREVIOUS={SECRETS.mac_key}\n" in after


def test_results_are_backed_up_on_the_host_of_the_store_alone_after_its_api_serves() -> None:
    (step,) = (step for step in configure.plan(DESIRED).steps if "Back the results" in step.title)
    assert (step.title, step.hosts) == ("Back the results of app-0 up every 60 minutes", ("app-0",))
    assert step.after == (releases.serve_id(DESIRED.inventory.store),)
    unit = files(configure.plan(DESIRED))["app-0", "/etc/systemd/system/pneumoctl-backup.service"].content
    assert "BACKUP_BUCKET=the-bucket BACKUP_REGION=eu-west-1" in unit
    assert "OnUnitActiveSec=60min" in files(configure.plan(DESIRED))[
        "app-0", "/etc/systemd/system/pneumoctl-backup.timer"
    ].content  # fmt: skip


def test_without_backups_the_timer_is_stopped() -> None:
    without = replace(DESIRED, backup_to=None)
    (step,) = (step for step in configure.plan(without).steps if "backups" in step.title)
    assert (step.title, step.hosts) == ("Stop the backups of app-0", ("app-0",))
    assert not [title for title in titles(configure.plan(replace(without, releases={}))) if "backups" in title]


def test_after_a_teardown_emptied_the_bucket_the_next_backup_is_not_skipped_as_unchanged() -> None:
    """The host of the store still says what it backed up; the file is the one that `webapp.api.backup` reads."""
    (step,) = (step for step in configure.plan(replace(DESIRED, backup_again=True)).steps if "Forget" in step.title)
    file = f"/var/lib/pneumoctl-backup/{backup.STATE}"
    assert step.hosts == ("app-0",) and [action.argv for action in step.actions] == [("rm", "-f", file)]
    assert step.done_if == (Probe(("test", "!", "-e", file)),)
    assert not [title for title in titles(configure.plan(DESIRED)) if "Forget" in title]


def test_the_plan_says_what_a_limit_of_days_erases() -> None:
    kept = replace(DESIRED, settings=replace(DESIRED.settings, retention_days=30))
    titles = [step.title for step in configure.plan(kept).steps if step.title.startswith("Serve ")]
    assert titles[:2] == [f"Serve the API on app-{number} (erases results older than 30 days)" for number in range(2)]
    assert not [title for title in titles[2:] if "erases" in title]
