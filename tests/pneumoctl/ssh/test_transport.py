"""The transport over real SSH servers: the same promises as the local one's."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pneumoctl.ssh.connections import Connections
from pneumoctl.ssh.transport import SshTransport
from tests.pneumoctl.sshd import Farm, on_loopback


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as one:
        yield one


@pytest.fixture(scope="module")
def there(farm: Farm) -> Iterator[SshTransport]:
    with Connections(farm.inventory, farm.directory) as connections:
        yield SshTransport(farm.host("web-0"), connections)


def test_run_gives_code_output_and_environment(there: SshTransport) -> None:
    done = there.run(("sh", "-c", 'echo "$A"; echo err >&2; exit 3'), {"A": "b 'c'\n$d"}, 20)
    assert (done.code, done.stdout, done.stderr) == (3, "b 'c'\n$d\n", "err\n")


def test_a_secret_in_the_environment_is_in_no_argv(there: SshTransport) -> None:
    said = there.run(("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'"), {"A": "hush-hush"}, 20).stdout
    assert "cmdline" in said and "hush-hush" not in said


def test_run_survives_a_missing_program_and_bytes_that_are_no_text(there: SshTransport) -> None:
    assert there.run(("no-such-program",), {}, 5).code == 127
    assert there.run(("printf", r"\377"), {}, 5).stdout == "\ufffd"
    assert there.run(("sh", "-c", "kill -9 $$"), {}, 5).code not in {0, 124}


def test_run_gives_no_terminal_input_to_wait_for(there: SshTransport) -> None:
    assert there.run(("cat",), {}, 5).code == 0
    assert there.run(("cat",), {"A": "b"}, 5).stdout == ""


def test_a_command_that_does_not_end_is_ended_there_and_what_it_said_is_kept(there: SshTransport) -> None:
    scripts = ("echo said; exec sleep 31.4159", "trap '' TERM; echo said; while :; do sleep 0.2; done")
    with ThreadPoolExecutor(2) as pool:
        late, stubborn = pool.map(lambda script: there.run(("sh", "-c", script), {}, 1), scripts)
    assert (late.code, late.stdout) == (124, "said\n") and "sh: no end after 1 s" in late.stderr
    assert (stubborn.code, stubborn.stdout) == (124, "said\n")
    assert there.run(("pgrep", "-f", "^sleep 31.4159"), {}, 5).code == 1


def test_a_command_may_leave_a_service_behind_that_holds_its_output(there: SshTransport) -> None:
    began = time.monotonic()
    done = there.run(("sh", "-c", "setsid sleep 8 & echo started"), {}, 30)
    assert (done.code, done.stdout) == (0, "started\n") and time.monotonic() - began < 5


def test_much_output_on_both_streams_at_once_arrives(there: SshTransport) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' o & head -c 3000000 /dev/zero | tr '\\0' e >&2; wait"
    done = there.run(("sh", "-c", script), {}, 60)
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 3_000_000)


def test_ten_megabytes_go_there_and_back(there: SshTransport, tmp_path: Path) -> None:
    content, path = os.urandom(10 << 20), str(tmp_path / "new folder" / "big 'file'")
    there.put(content, path, 0o640)
    assert there.read(path) == content and Path(path).stat().st_mode & 0o777 == 0o640
    there.put(b"", path, 0o600)
    assert there.read(path) == b"" and there.read(path + "x") is None
    assert len(list(Path(path).parent.iterdir())) == 1


def test_what_cannot_be_done_is_an_oserror_with_the_hosts_words(there: SshTransport, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"web-0: .*[Ii]s a directory"):
        there.read(str(tmp_path))
    with pytest.raises(OSError, match=r"web-0: .*directory"):
        there.put(b"x", "/dev/null/x", 0o600)
    with pytest.raises(OSError, match="No such file"):
        there.fetch(str(tmp_path / "none"), str(tmp_path / "here"))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file(there: SshTransport) -> None:
    if os.geteuid() != 0 or not Path("/dev/full").exists():
        pytest.skip("needs root for a small file system")
    mounted = there.run(("sh", "-c", "mkdir -p /run/pnfull && mount -t tmpfs -o size=1m none /run/pnfull"), {}, 10)
    if mounted.code != 0:
        pytest.skip(f"no mount here: {mounted.stderr}")
    try:
        there.put(b"old", "/run/pnfull/file", 0o600)
        with pytest.raises(OSError, match="No space left"):
            there.put(os.urandom(3 << 20), "/run/pnfull/file", 0o600)
        assert there.read("/run/pnfull/file") == b"old"
        assert there.run(("ls", "-A", "/run/pnfull"), {}, 5).stdout == "file\n"
    finally:
        there.run(("sh", "-c", "umount /run/pnfull; rmdir /run/pnfull"), {}, 10)


def test_a_tree_goes_there_in_one_round_trip_and_back(there: SshTransport, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / "__pycache__").mkdir(parents=True)
    for name in ("one", "-n", "a b", "line\nfeed", "é"):
        (source / "sub" / name).write_text(name)
    (source / "current").symlink_to("sub/one")
    for _ in range(2):
        there.copy(str(source), str(tmp_path / "there"), ("__pycache__",))
    there.link(str(tmp_path / "latest"), "there")
    there.fetch(str(tmp_path / "latest"), str(tmp_path / "back" / "tree"))
    back = tmp_path / "back" / "tree"
    assert {one.name for one in (back / "sub").iterdir()} == {"one", "-n", "a b", "line\nfeed", "é"}
    assert (back / "sub" / "line\nfeed").read_text() == "line\nfeed" and (back / "current").is_symlink()


def test_a_tree_that_is_not_here_costs_the_host_nothing(there: SshTransport, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        there.copy(str(tmp_path / "none"), str(tmp_path / "there"), ())
    assert not list(tmp_path.iterdir())
