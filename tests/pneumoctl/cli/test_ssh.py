"""`pneumoctl ssh` as a user runs it: a process, the system's SSH client, real servers."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.pneumoctl.ssh_namespaces import in_namespaces
from tests.pneumoctl.sshd import Farm, User, on_loopback


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    with on_loopback(tmp_path_factory.mktemp("farm")) as running_farm:
        yield running_farm


@pytest.fixture(scope="module")
def user(farm: Farm) -> User:
    return User(farm)


def test_a_command_runs_there_and_its_exit_code_comes_back(user: User) -> None:
    result = user.run("ssh", "web-0", "--", "echo out; echo err >&2; exit 7", code=7)
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_several_words_arrive_as_they_are_and_one_is_a_line_for_the_shell(user: User) -> None:
    assert user.run("ssh", "web-0", "--", "printf", "%s|", "a b", "*", "$HOME", "'").stdout == "a b|*|$HOME|'|"
    assert user.run("ssh", "web-0", "--", "echo a  b; echo c").stdout == "a b\nc\n"
    assert user.run("ssh", "web-0", "--", "ls", "--json", "-q", code=2).stderr.startswith("ls: ")


def test_exit_255_of_the_command_is_its_own(user: User) -> None:
    result = user.run("ssh", "web-0", "--", "echo it timed out >&2; exit 255", code=255)
    assert result.stderr == "it timed out\n"


def test_input_is_passed_on(user: User) -> None:
    result = subprocess.run(
        user.argv("ssh", "web-0", "--", "cat"),
        input=b"\xff\x00\n",
        capture_output=True,
        env=user.environment,
        timeout=240,
    )
    assert (result.returncode, result.stdout) == (0, b"\xff\x00\n")


def test_an_interactive_command_gets_a_terminal(user: User) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, user.argv("ssh", "app-0"), user.environment)
    os.write(terminal, b"tty; exit 5\n")
    output = b""
    try:
        while data := os.read(terminal, 4096):
            output += data
    except OSError:  # how the end of a terminal looks
        pass
    assert b"/dev/pts/" in output and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


def test_json_is_one_document_of_a_command_and_refused_for_a_shell(user: User) -> None:
    document = json.loads(user.run("ssh", "web-0", "--json", "--", "echo", "out").stdout)
    assert document == {"host": "web-0", "exit": 0, "stdout": "out\n", "stderr": ""}
    assert json.loads(user.run("ssh", "web-0", "--json", code=2).stdout)["error"]["code"] == 2


def test_dry_run_prints_a_line_that_works(user: User) -> None:
    line = user.run("ssh", "web-0", "--dry-run", "--", "echo", "a b").stdout
    assert "-F" in line
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=240, check=True)
    assert result.stdout == "a b\n"


def test_an_unknown_host_names_the_nearest_and_all_hosts(user: User) -> None:
    stderr = user.run("ssh", "wbe-0", code=2).stderr
    assert "did you mean web-0?" in stderr and "nginx, web-0, app-0, monitoring" in stderr


def test_a_missing_ssh_client_is_reported(user: User) -> None:
    stderr = user.run("ssh", "web-0", code=1, PATH="/nonexistent").stderr
    assert "OpenSSH client" in stderr and "apt-get install openssh-client" in stderr


def test_a_host_without_a_pinned_key_is_reported(user: User) -> None:
    from pneumoctl.ssh import keys

    keys.forget(user.farm.directory, {"i-nginx"})
    try:
        assert "host key of web-0 is not pinned yet" in user.run("ssh", "web-0", code=1).stderr
    finally:
        user.farm.pin()


@pytest.mark.parametrize("name", ["nginx", "web-0"])
def test_a_changed_host_key_is_a_hard_stop_explained(user: User, name: str) -> None:
    server = user.farm.servers[name]
    server.stop()
    server.new_key()
    server.start()
    try:
        result = user.run("ssh", "web-0", "--", "echo", "never", code=1)
        assert (
            result.stdout == "" and f"error: the host key of {name} (i-{name}) is not the one pinned" in result.stderr
        )
        assert "pneumoctl up" in result.stderr.splitlines()[-1]
    finally:
        user.farm.pin()


@pytest.mark.parametrize("name", ["nginx", "web-0"])
def test_a_refused_login_is_explained_with_a_way_back(user: User, name: str) -> None:
    authorized = user.farm.servers[name].folder / "authorized_keys"
    right = authorized.read_bytes()
    authorized.write_text("")
    try:
        stderr = user.run("ssh", "web-0", "--", "true", code=1).stderr
    finally:
        authorized.write_bytes(right)
    assert f"error: {name} (" in stderr and "login: the stack's key was not accepted" in stderr
    assert "pneumoctl secrets ssh-key" in stderr.splitlines()[-1]


def test_refusals_name_the_host_or_the_bastion(user: User) -> None:
    servers = user.farm.servers
    servers["web-0"].stop()
    try:
        stderr = user.run("ssh", "web-0", "--", "true", code=1).stderr
        assert f"error: web-0 ({servers['web-0'].address}) cannot be reached" in stderr
        assert "next: pneumoctl status" in stderr
        servers["nginx"].stop()
        stderr = user.run("ssh", "web-0", "--", "true", code=1).stderr
        assert f"error: the bastion nginx ({servers['nginx'].address}) does not answer" in stderr
        assert "address may have changed" in stderr
    finally:
        servers["web-0"].start()
        servers["nginx"].start()


def test_an_interrupt_ends_the_command_line(user: User) -> None:
    child = user.start("ssh", "web-0", "--", "echo begun; sleep 30")
    assert child.stdout is not None and child.stdout.readline() == "begun\n"
    child.send_signal(2)
    assert child.wait(120) == 130
    child.communicate()


def test_unreachable_hosts_fail_quickly(tmp_path: Path) -> None:
    """Hosts that are dead, silent or cut off during a session, behind a working bastion; then the bastion itself."""
    with in_namespaces(tmp_path / "network") as network, ThreadPoolExecutor(4) as pool:
        user = User(network)

        def failing(name: str, *words: str) -> str:
            return user.run("ssh", name, "--", *words, code=1).stderr

        marked = tmp_path / "begun"
        session = pool.submit(failing, "app-0", f"echo $$ >{marked}; exec sleep 3600")
        try:
            while not marked.exists():
                assert not session.done()
                time.sleep(0.1)
            with network.tongue_tied("monitoring"), network.cut("web-0"), network.cut("app-0"):
                dead, mute = pool.submit(failing, "web-0", "true"), pool.submit(failing, "monitoring", "true")
                for name, waited in (("web-0", dead), ("monitoring", mute)):
                    stderr = waited.result()
                    assert f"error: {name} (" in stderr and "pneumoctl status" in stderr
                stderr = session.result()
                assert "error: app-0" in stderr and "not responding" in stderr
        finally:
            with suppress(OSError, ValueError):  # the command may outlive the session that was cut
                os.kill(int(marked.read_text()), signal.SIGKILL)
        with network.cut("nginx"):
            assert "the bastion nginx (198.51.100.2) does not answer" in failing("web-0", "true")


def test_the_shell_completes_names_of_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pneumoctl.stack.inventory import Host, Inventory
    from pneumoctl.stack.stack import find

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    hosts = tuple(Host(name, name.split("-")[0]) for name in ("nginx", "web-0", "web-1"))
    find("default").make()
    find("default").save_hosts(Inventory(hosts))
    monkeypatch.setenv("_PNEUMOCTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "pneumoctl ssh we")
    monkeypatch.setenv("COMP_CWORD", "2")
    result = subprocess.run([sys.executable, "-m", "pneumoctl"], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["web-0", "web-1"], result.stderr
