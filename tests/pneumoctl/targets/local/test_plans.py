"""The complete plans of up and teardown, and the files they render."""

import configparser
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.files import Tree
from pneumoctl.plan.steps import Put, describe
from pneumoctl.stack import inventory
from pneumoctl.stack.layout import Layout
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings, erases
from pneumoctl.targets.local import supervisor, teardown_plan, up_plan
from pneumoctl.targets.local.desired import LocalDesiredState

SECRETS = Secrets("redis-secret", "mac-secret", "token-secret")
DESIRED = LocalDesiredState(
    settings=Settings(target="local"),
    layout=Layout(Path("/s")),
    inventory=inventory.local({"redis": 1, "api": 2, "ui": 3}),
    secrets=SECRETS,
    python="/py",
    redis_server="/bin/redis-server",
    release="r1",
    sources=(Tree("/src/webapp", "d1"), Tree("/src/model", "d2")),
    bundle="m-1",
    bundle_source=Tree("/src/bundle", "d3"),
    workers=2,
    threads=1,
)


def files(desired: LocalDesiredState) -> dict[str, Put]:
    actions = [action for step in up_plan.plan(desired).steps for action in step.actions]
    return {action.path: action for action in actions if isinstance(action, Put)}


def test_the_whole_plan_of_up() -> None:
    assert describe(up_plan.plan(DESIRED)) == [
        "stack default (local)",
        "  + Copy release r1 on app",
        "      copy     /src/webapp -> /s/releases/r1/webapp",
        "      copy     /src/model -> /s/releases/r1/model",
        "  + Copy model m-1 on app",
        "      copy     /src/bundle -> /s/models/m-1",
        "  + Start the supervisor on app",
        "      run      mkdir -p /s/logs /s/redis/data",
        "      write    /s/supervisor/supervisord.conf (600)",
        "      run      start or update supervisord",
        "  + Configure and start Redis on app",
        "      write    /s/redis/redis.conf (600)",
        "      write    /s/redis/users.acl (600, secret)",
        "      restart  redis",
        "  + Configure and start the API on app",
        "      write    /s/env/api.env (600, secret)",
        "      run      empty the metrics",
        "      link     /s/releases/current -> r1",
        "      link     /s/models/current -> m-1",
        "      restart  api",
        "      run      wait until http://127.0.0.1:2/readyz says ready",
        "  + Configure and start the web page on web",
        "      write    /s/env/ui.env (600, secret)",
        "      restart  ui",
        "      run      wait until http://127.0.0.1:3/readyz says ready",
    ]
    assert up_plan.plan(DESIRED).steps[-1].check


def test_the_plan_says_what_a_limit_of_days_erases() -> None:
    kept = replace(DESIRED, settings=Settings(target="local", retention_days=30))
    (line,) = [line for line in describe(up_plan.plan(kept)) if "start the API" in line]
    assert line == "  + Configure and start the API (erases results older than 30 days) on app"
    assert erases(Settings(retention_days=1)) == " (erases results older than 1 day)"


def test_no_secret_is_in_an_argv_or_in_a_file_that_is_shown() -> None:
    for step in up_plan.plan(DESIRED).steps:
        for action in step.actions:
            if not (isinstance(action, Put) and action.secret):
                assert not [secret for secret in SECRETS.values() if secret in repr(action)]
        assert not [secret for secret in SECRETS.values() if secret in repr(step.done_if)]


@pytest.mark.parametrize(
    ("change", "restarted"),
    [
        ({"release": "r2"}, {"api", "ui"}),
        ({"bundle": "m-2"}, {"api"}),
        ({"threads": 2}, {"api"}),
        ({"settings": Settings(target="local", retention_days=30)}, {"api"}),
        ({"settings": Settings(target="local", page_timeout_s=20)}, {"ui"}),
        ({"secrets": replace(SECRETS, redis_password="new")}, {"redis", "api"}),
        ({"inventory": inventory.local({"redis": 1, "api": 9, "ui": 3})}, {"api", "ui"}),
    ],
)
def test_a_changed_setting_restarts_only_services_that_depend_on_it(
    change: dict[str, object], restarted: set[str]
) -> None:
    before, after = files(DESIRED), files(replace(DESIRED, **change))
    stamps = {name: f"/s/stamps/{name}" for name in ("redis", "api", "ui")}
    assert {name for name, path in stamps.items() if before[path].content != after[path].content} == restarted


def test_many_uploads_and_reads_leave_threads_for_the_probes() -> None:
    """Slow uploads may occupy every slot, and reads of an API that hangs theirs; all others must still be answered."""
    conf = files(DESIRED)["/s/supervisor/supervisord.conf"].content
    for name in ("api", "ui"):
        (line,) = (line for line in conf.splitlines() if f"webapp.{name}:" in line)
        threads = int(line.split("--threads=")[1].split('"')[0])
        environment = files(DESIRED)[f"/s/env/{name}.env"].content
        waiting = ("MAX_PENDING=", "MAX_READS=", "MAX_THUMBNAILS=")
        bounds = [line.split("=")[1] for line in environment.splitlines() if line.startswith(waiting)]
        assert len(bounds) == {"api": 1, "ui": 3}[name]
        assert sum(map(int, bounds)) + 4 <= threads


def test_supervisord_conf_parses_and_quotes_hostile_paths() -> None:
    odd = replace(DESIRED, layout=Layout(Path('/tmp/50% "odd" $(dir) \\x')))
    text = files(odd)[str(supervisor.config(odd.layout.root))].content
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(text)
    command = parser["program:redis"]["command"] % {}  # what supervisord expands
    assert shlex.split(command) == ["/bin/redis-server", '/tmp/50% "odd" $(dir) \\x/redis/redis.conf']
    assert {"program:redis", "program:api", "program:ui"} <= set(parser.sections())
    assert parser["program:api"]["autorestart"] == "true"


def test_redis_is_durable_closed_and_never_evicts() -> None:
    lines = files(DESIRED)["/s/redis/redis.conf"].content.splitlines()
    for wanted in ("bind 127.0.0.1", "appendonly yes", "appendfsync always", "maxmemory-policy noeviction"):
        assert wanted in lines
    acl = files(DESIRED)["/s/redis/users.acl"].content
    # off, so that nobody can be it; with rights, or Redis would drop the transactions of its own file at a restart
    assert "user default off resetpass ~* &* +@all" in acl
    assert "redis-secret" not in acl  # only its hash


def test_the_whole_plan_of_teardown() -> None:
    desired = teardown_plan.TeardownOptions("s", Layout(Path("/s")), "/py", (1, 2), Path("/out"), True, True)
    assert describe(teardown_plan.plan(desired)) == [
        "tear down stack s",
        "  + Start Redis to read the results on app",
        "      run      start supervisord if it is down",
        "      start    redis",
        "  + Stop the page on web",
        "      stop     ui",
        "  + Stop the API on app",
        "      stop     api",
        "  + Export the results on app",
        "      run      read the results from Redis into /out",
        "  + Export the model bundles on app",
        "      run      make /out (700)",
        "      fetch    /s/models -> /out/models",
        "  + End every process and prove it",
        "      run      end every process of the stack",
        "  + Remove the stack's directory",
        "      run      rm -rf /s",
    ]


def test_teardown_checks_the_space_before_it_stops_anything() -> None:
    desired = teardown_plan.TeardownOptions("s", Layout(Path("/s")), "/py", (1, 2), Path("/out"), True, True)
    steps = teardown_plan.plan(desired).steps
    (check,) = (number for number, step in enumerate(steps) if step.check)
    assert [step.title for step in steps[check + 1 :]][:2] == ["Stop the page", "Stop the API"]
    assert steps[check].actions[0].argv[-4:] == ("check", "/s", "/out/results", "/s/models")


def test_purge_exports_nothing() -> None:
    desired = teardown_plan.TeardownOptions("s", Layout(Path("/s")), "/py", (), None, True, True)
    assert [step.title for step in teardown_plan.plan(desired).steps] == [
        "End every process and prove it",
        "Remove the stack's directory",
    ]


def test_a_redis_before_7_gets_rights_that_do_not_differ_by_key() -> None:
    def rights(desired: LocalDesiredState) -> str:
        return str(files(desired)["/s/redis/users.acl"].content)

    older = rights(replace(DESIRED, rights_by_key=False))
    assert "(" not in older and "~pneumo:* " in older and "+hsetnx" in older
    assert "(~pneumo:trail* +hsetnx" in rights(DESIRED) and "~pneumo:1:* " in rights(DESIRED)


def test_the_dicom_receiver_is_a_service_of_its_own_if_it_has_a_port() -> None:
    settings = Settings(target="local", dicom_port=104, dicom_calling="CR1,CR2", dicom_certificate="/c", dicom_ca="/a")
    ports = {"redis": 1, "api": 2, "ui": 3, "dicom": 104}
    desired = replace(DESIRED, settings=settings, inventory=inventory.local(ports))
    lines = describe(up_plan.plan(desired))
    begin = lines.index("  + Configure and start the DICOM receiver PNEUMOCTL on app")
    assert lines[begin + 1 : begin + 4] == [
        "      write    /s/env/dicom.env (600, secret)",
        "      restart  dicom",
        "      run      wait until the receiver accepts connections",
    ]
    environment = dict(line.split("=", 1) for line in files(desired)["/s/env/dicom.env"].content.splitlines())
    assert environment["DICOM_PORT"] == "104" and environment["DICOM_CALLING"] == "CR1,CR2"
    assert environment["API_SOCKET"] == "/s/api.sock" and environment["API_TOKEN"] == SECRETS.receiver_token
    assert not {SECRETS.api_token, SECRETS.page_token} & set(environment.values())
    assert f"\nRECEIVER_TOKEN={SECRETS.receiver_token}\n" in files(desired)["/s/env/api.env"].content
    assert (environment["DICOM_CERTIFICATE"], environment["DICOM_CA"]) == ("/c", "/a")
    config = files(desired)["/s/supervisor/supervisord.conf"].content
    assert "[program:dicom]" in config and "webapp.receiver" in config
    assert "dicom" not in files(DESIRED)["/s/supervisor/supervisord.conf"].content
    assert not any("dicom" in path for path in files(DESIRED))
