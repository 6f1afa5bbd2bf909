"""A stack's directory: secrets, ports, damage."""

from pathlib import Path

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.stack import stack
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud, Ports, Stack
from pneumoctl.targets.local.api import remote_api

PORTS = Ports({"redis": 1, "api": 2, "ui": 3}, {"redis": 1, "api": 2, "ui": 4})


def test_a_saved_stack_is_loaded_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path / "pneumoctl" / "t")
    assert (demo_stack.exists, demo_stack.secrets(), demo_stack.ports(), demo_stack.inventory()) == (
        False,
        None,
        None,
        None,
    )
    secrets = Secrets.generate()
    demo_stack.save(secrets, PORTS)
    assert (demo_stack.secrets(), demo_stack.ports()) == (secrets, PORTS)
    assert demo_stack.directory.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in demo_stack.directory.iterdir())
    inventory = demo_stack.inventory()
    assert inventory is not None
    assert inventory.url("ui") == "http://127.0.0.1:4"
    assert inventory.only("app").services == {"redis": 1, "api": 2}
    with pytest.raises(KeyError):
        inventory.only("train")


def test_the_ports_of_a_stack_of_version_0_1_are_read(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path)
    demo_stack.write("ports.json", {"wished": PORTS.requested, "given": PORTS.assigned})
    assert demo_stack.ports() == PORTS


def test_a_damaged_file_is_an_error_and_never_new_secrets(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path)
    (tmp_path / "secrets.json").write_text('{"redis_password": ')
    with pytest.raises(PneumoError, match=r"secrets\.json is damaged"):
        demo_stack.secrets()
    (tmp_path / "secrets.json").write_text('{"redis_password": "x"}')
    with pytest.raises(PneumoError, match=r"secrets\.json is damaged"):
        demo_stack.secrets()
    (tmp_path / "ports.json").write_text("[1]")
    with pytest.raises(PneumoError, match=r"ports\.json is damaged"):
        demo_stack.ports()


def test_the_api_of_a_stack_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(PneumoError, match="no stack") as caught:
        remote_api("t")
    assert caught.value.hint == "pneumoctl up"
    secrets = Secrets.generate()
    stack.find("t").save(secrets, PORTS)
    assert remote_api("t") == ("http://127.0.0.1:2", secrets.api_token, stack.find("t").layout.api_socket)


def test_directories_are_resolved_to_one_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    reached = {stack.home({"XDG_STATE_HOME": str(tmp_path / one)}) for one in ("real", "link", "link/../real")}
    assert reached == {tmp_path.resolve() / "real" / "pneumoctl"}
    assert stack.home({"XDG_STATE_HOME": "relative"}) == stack.home({})


def test_saving_removes_what_a_killed_teardown_left(tmp_path: Path) -> None:
    demo_stack = Stack("t", tmp_path / "t")
    demo_stack.removed.mkdir()
    (demo_stack.removed / "picture").write_text("x")
    demo_stack.save(Secrets.generate(), PORTS)
    assert not demo_stack.removed.exists()


CLOUD = Cloud("eu-west-1", "work", "123456789012", "ours")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_a_stack_remembers_where_it_is(home: Path) -> None:
    settings, resolved = stack.resolve(Settings())
    assert (settings.target, resolved.target) == ("local", "")
    resolved.save_cloud(CLOUD)
    settings, resolved = stack.resolve(Settings())
    assert (settings.target, settings.region, settings.profile) == ("aws", "eu-west-1", "work")
    assert (resolved.directory / "aws.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "settings", [Settings(target="local"), Settings(region="us-east-1"), Settings(bucket="another")]
)
def test_a_stack_does_not_move(home: Path, settings: Settings) -> None:
    stack.find("default").save_cloud(CLOUD)
    with pytest.raises(PneumoError, match="exists already") as caught:
        stack.resolve(settings)
    assert caught.value.code == Exit.USAGE and "teardown" in caught.value.hint


def test_a_local_stack_is_not_used_as_one_on_aws(home: Path) -> None:
    stack.find("default").save(Secrets.generate(), PORTS)
    assert stack.resolve(Settings())[0].target == "local"
    with pytest.raises(PneumoError, match="target local, not aws"):
        stack.resolve(Settings(target="aws"))


def test_the_hosts_of_a_stack_are_remembered(home: Path) -> None:
    default = stack.find("default")
    default.make()
    assert default.hosts() is None
    hosts = Inventory((Host("nginx", "nginx", "10.0.0.1", {"ui": 1}, "i-1", "198.51.100.1", "admin", "t3.micro"),))
    default.save_hosts(hosts)
    assert default.hosts() == hosts
    (default.directory / "inventory.json").write_text('{"hosts": [{"nome": 1}]}')
    with pytest.raises(PneumoError, match="damaged"):
        default.hosts()
