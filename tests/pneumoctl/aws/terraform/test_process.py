"""A running terraform survives a killed pneumoctl, and the next run follows it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pneumoctl.aws.terraform.process import Runs
from pneumoctl.errors import Exit, PneumoError
from tests.pneumoctl.aws.terraform.apply_process import runs, until
from tests.pneumoctl.tiny_terraform import Tiny


def test_a_killed_pneumoctl_leaves_terraform_running_and_the_next_run_follows_it(
    tiny: Tiny, start: Callable[[], "subprocess.Popen[str]"]
) -> None:
    tiny.prepare("a", "b", seconds=2)
    killed = start()
    killed.kill()
    killed.wait()
    run = runs(tiny).last()
    assert run is not None and runs(tiny).is_running()
    assert os.getsid(run.pid) == run.pid  # a session of its own: no terminal reaches it
    tiny.heard.clear()
    tiny.prepare("a", "b", seconds=2)
    assert not runs(tiny).is_running()
    assert f"terraform apply (process {run.pid}, since {run.since}) is still running" in tiny.notes()
    done = [event for event in tiny.heard if event.event == "done"]
    assert [(event.done, event.total) for event in done] == [(1, 2), (2, 2)]
    assert tiny.addresses() == ['terraform_data.thing["a"]', 'terraform_data.thing["b"]']
    assert tiny.terraform.plan().no_op  # a new plan: nothing is left to do
    assert tiny.terraform.suspect  # its end was not observed


def test_a_kill_of_terraform_leaves_no_lock_and_a_readable_state(
    tiny: Tiny, start: Callable[[], "subprocess.Popen[str]"]
) -> None:
    """The local state is locked with fcntl, which dies with its holder; so does our mark of what runs."""
    tiny.prepare("a", "b", seconds=3)
    ours = start()
    assert (tiny.terraform.directory / ".terraform.tfstate.lock.info").exists()
    run = runs(tiny).last()
    assert run is not None
    ours.kill()
    os.killpg(run.pid, signal.SIGKILL)
    until(lambda: not runs(tiny).is_running())
    assert (tiny.terraform.directory / ".terraform.tfstate.lock.info").exists()  # left behind, and without force
    assert tiny.terraform.suspect
    tiny.prepare("a", "b", seconds=0)
    tiny.apply()
    assert tiny.addresses() == ['terraform_data.thing["a"]', 'terraform_data.thing["b"]']


def test_while_another_holds_the_states_lock_the_holder_is_named(tiny: Tiny) -> None:
    tiny.prepare("a", seconds=3)
    other = subprocess.Popen(
        ["terraform", "apply", "-auto-approve", "-no-color"],
        cwd=tiny.terraform.directory,
        env=dict(tiny.terraform.environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: (tiny.terraform.directory / ".terraform.tfstate.lock.info").exists())
        with pytest.raises(PneumoError) as caught:
            tiny.terraform.plan()
    finally:
        other.communicate(timeout=600)
    assert caught.value.code == Exit.LOCKED
    assert "locked by " in caught.value.message and " s ago)" in caught.value.message
    assert "force-unlock" not in caught.value.hint  # that process lives: waiting is all there is to do
    assert tiny.terraform.plan().no_op


def test_two_at_once_is_refused(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    first = runs._start(["sleep", "5"], tmp_path, os.environ)
    try:
        with pytest.raises(PneumoError) as caught:
            runs.run(["true"], tmp_path, os.environ, print, print)
        assert caught.value.code == Exit.LOCKED
    finally:
        first.kill()
        first.wait()
    assert not runs.is_running()


def test_output_in_any_chunks_is_complete(tmp_path: Path) -> None:
    script = "printf 'one\\ntw'; sleep 0.2; printf 'o\\n\\303'; sleep 0.2; printf '\\244\\nlast words'; exit 7"
    heard: list[str] = []
    notes: list[str] = []
    code = Runs(tmp_path).run(["sh", "-c", script], tmp_path, os.environ, heard.append, notes.append)
    assert (code, heard, notes) == (7, ["one", "two", "ä", "last words"], [])


def test_nothing_to_attach_to(tmp_path: Path) -> None:
    assert not Runs(tmp_path).attach(print, print)
    assert Runs(tmp_path).run(["true"], tmp_path, os.environ, print, print) == 0
    assert not Runs(tmp_path).attach(print, print)


def test_a_record_of_another_process_is_never_signalled(tmp_path: Path) -> None:
    """pneumoctl is killed after starting terraform and before the record is written: no process is signalled later."""
    runs = Runs(tmp_path)
    bystander = subprocess.Popen(["sleep", "30"])
    going = runs._start(["sleep", "1"], tmp_path, os.environ)
    try:
        runs.record.unlink()
        notes: list[str] = []

        def interrupted() -> bool:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            runs._follow_to_end(lambda: None, interrupted, print, notes.append)
        assert "goes on by itself" in notes[-1]
        assert bystander.poll() is None and going.poll() is None
    finally:
        for process in (bystander, going):
            process.kill()
            process.wait()


def test_terraforms_own_children_do_not_keep_the_lock(tmp_path: Path) -> None:
    """A process of a provider that survives terraform is not taken for terraform."""
    child = (
        "import subprocess, sys; subprocess.Popen(['sleep', '2'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"
    )
    runs = Runs(tmp_path)
    assert runs.run([sys.executable, "-c", child], tmp_path, os.environ, print, print) == 0
    run = runs.last()
    assert run is not None and not psutil.pid_exists(run.pid)
    assert not runs.is_running()
