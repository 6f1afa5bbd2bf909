"""The complete plan for hosts on aws: every template, every private address, no secret in what is shown."""

from dataclasses import replace
from typing import Any

import jinja2
import pytest

from pneumoctl.files import bundled
from pneumoctl.hosts import configure, releases
from pneumoctl.plan import render
from pneumoctl.plan.steps import Probe, Run, describe
from pneumoctl.training import host_plan
from tests.pneumoctl.examples import CURRENT_LINKS, DESIRED, SECRETS, TREES
from tests.pneumoctl.hosts.plan_contents import files, titles
from webapp.api import backup


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

    assert not [word for word in words for value in (*SECRETS.values(), "KEY\n") if value in word]


def test_every_file_with_a_secret_is_marked_and_not_readable_by_others() -> None:
    values = (*SECRETS.values(), "KEY\n")
    holding = {
        where: put for where, put in files(configure.plan(DESIRED)).items() if any(v in put.content for v in values)
    }

    assert len(holding) == 2 + 2 + 1 + 1  # the API's and the page's environments, the Redis exporter's, the key
    assert all(put.secret and put.mode & 0o007 == 0 for put in holding.values())


def test_the_page_cannot_do_what_the_stack_can() -> None:
    """An old page behind the new front door would ask nobody to log in."""
    made = files(configure.plan(DESIRED))
    api, page = made["app-1", "/etc/pneumoctl/api.env"].content, made["web-1", "/etc/pneumoctl/ui.env"].content
    assert f"API_TOKEN={SECRETS.page_token}\n" in page and SECRETS.api_token not in page
    assert f"API_TOKEN={SECRETS.api_token}\n" in api and f"PAGE_TOKEN={SECRETS.page_token}\n" in api
    assert "AUTH=users\n" in api and "AUTH=users\n" in page


def test_the_page_believes_the_front_door_alone_where_a_request_comes_from() -> None:
    assert "PROXY_ADDRESS=10.20.1.10\n" in files(configure.plan(DESIRED))["web-0", "/etc/pneumoctl/ui.env"].content


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
    assert shipped - asked == {"env/dicom.env.j2", "supervisor/supervisord.conf.j2"}  # the local target's


def test_titles_and_ids_are_unique_and_steps_wait_for_earlier_ones_only() -> None:
    plan = configure.plan(replace(DESIRED, current_links=CURRENT_LINKS))
    seen: list[str] = []
    assert len(set(titles(plan))) == len(plan.steps)
    for step in plan.steps:
        assert step.id not in seen
        assert {*step.after, *step.after_any_outcome} <= set(seen)
        assert set(step.needed_by) <= {other.id for other in plan.steps}
        seen.append(step.id)


def test_the_plan_for_one_host_has_its_steps_and_is_the_same_as_in_the_whole_plan() -> None:
    whole = configure.plan(DESIRED)
    for name in DESIRED.current_links:
        alone = configure.plan(replace(DESIRED, current_links={name: {}}))
        asked = [step for step in alone.steps if step.hosts == (name,)]
        assert asked == [step for step in whole.steps if step.hosts == (name,)]
        assert not [
            step.title for step in alone.steps if "Install the packages" in step.title and name not in step.hosts
        ]


def test_both_passwords_are_valid_during_a_rotation() -> None:
    rotated = SECRETS.start_rotation()
    made = files(configure.plan(replace(DESIRED, secrets=rotated)))
    settled = files(configure.plan(replace(DESIRED, secrets=rotated.finish_rotation())))

    users = made["app-0", "/etc/redis/users.acl"].content
    assert users.count(" #") == 6 and settled["app-0", "/etc/redis/users.acl"].content.count(" #") == 3
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


def test_the_page_waits_for_the_api_as_long_as_the_setting_says() -> None:
    for settings, line in (
        (DESIRED.settings, "\nAPI_READ_TIMEOUT=3\n"),
        (replace(DESIRED.settings, page_timeout_s=20), "\nAPI_READ_TIMEOUT=20\n"),
    ):
        made = files(configure.plan(replace(DESIRED, settings=settings)))
        assert line in made["web-1", "/etc/pneumoctl/ui.env"].content


def test_the_plan_says_what_a_limit_of_days_erases() -> None:
    kept = replace(DESIRED, settings=replace(DESIRED.settings, retention_days=30))
    titles = [step.title for step in configure.plan(kept).steps if step.title.startswith("Serve ")]
    assert titles[:2] == [f"Serve the API on app-{number} (erases results older than 30 days)" for number in range(2)]
    assert not [title for title in titles[2:] if "erases" in title]
