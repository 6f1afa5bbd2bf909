"""The agent on a host: steps that are done completely or undone."""

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pneumoctl.files import tree
from pneumoctl.ssh import archive
from pneumoctl.ssh.on_host import steps, undo
from tests.pneumoctl.ssh.on_host.step_requests import NO_TREES, Act, put, run


def manager(host: Path) -> dict[str, Any]:
    return {"do": "service", "argv": [str(host / "bin/manager"), "restart"], "timeout": 10, "title": "restart it"}


def restarts(host: Path) -> int:
    path = host / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_files_are_written_with_their_modes_and_the_service_restarted_once(host: Path, act: Act) -> None:
    assert act(actions=[put(host / "etc/conf", "new", 0o640), manager(host)])["state"] == "done"
    assert (host / "etc/conf").read_text() == "new"
    assert (host / "etc/conf").stat().st_mode & 0o777 == 0o640
    assert restarts(host) == 1


def test_a_step_that_is_done_is_skipped(host: Path, act: Act) -> None:
    assert act(actions=[run("false")], done_if=[run("true")])["state"] == "skip"
    assert act(actions=[run("true")], done_if=[run("true"), run("false")])["state"] == "done"


def test_a_file_that_fails_validation_never_replaces_the_live_one(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    check = run("grep", "-q", "good", "{staged}" + str(host / "etc/conf"))
    answer = act(actions=[put(host / "etc/conf", "bad"), manager(host)], validate=[check])

    assert answer["state"] == "failed" and "grep" in answer["what"]
    assert (host / "etc/conf").read_text() == "old"
    assert restarts(host) == 0
    assert not list((host / "var").glob("staged.*"))


def test_a_failed_restart_restores_the_old_files_and_restarts_again(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    (host / "etc/link").symlink_to("first")
    (host / "broken").touch()
    link = {"do": "link", "path": str(host / "etc/link"), "target": "second"}
    actions = [put(host / "etc/conf", "bad"), put(host / "etc/added", "x"), link, manager(host)]

    answer = act(actions=actions)

    assert (answer["state"], answer["what"]) == ("failed", "restart it")
    assert (host / "etc/conf").read_text() == "old"
    assert (host / "etc/link").readlink() == Path("first")
    assert not (host / "etc/added").exists()
    assert restarts(host) == 2  # with the new file, then with the old one
    assert not list((host / "var/undo").glob("*"))


def test_a_failed_verification_is_undone(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    answer = act(
        actions=[put(host / "etc/conf", "new"), manager(host)], verify=[run("sh", "-c", "echo why >&2; exit 7")]
    )

    assert (answer["state"], answer["code"], answer["output"]) == ("failed", 7, "why")
    assert (host / "etc/conf").read_text() == "old"


def test_a_tree_arrives_completely_or_not_at_all(host: Path, act: Act, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner/file").write_text("x" * 100_000)
    packed = io.BytesIO()
    archive.pack(str(source), (), packed)
    whole, digest = packed.getvalue(), tree(source).digest
    copy = {"do": "copy", "path": str(host / "etc/tree"), "digest": digest, "size": len(whole)}

    assert "completely" in act(whole[:-10], actions=[copy])["what"]
    assert "not the planned one" in act(whole, actions=[{**copy, "digest": "0" * 64}])["what"]
    assert not list((host / "etc").iterdir())
    assert act(whole, actions=[copy])["state"] == "done"
    assert (host / "etc/tree/inner/file").read_text() == "x" * 100_000
    (host / "etc/tree/inner/file").write_text("tampered")
    assert act(whole, actions=[copy])["state"] == "done"
    assert (host / "etc/tree/inner/file").read_text() == "x" * 100_000


def test_a_failed_step_also_undoes_what_a_killed_attempt_changed(host: Path, act: Act) -> None:
    (host / "etc/conf").write_text("old")
    killed = undo.Undo("a step")
    killed.save(str(host / "etc/conf"))
    (host / "etc/conf").write_text("half-way")

    assert act(actions=[put(host / "etc/conf", "new"), run("false")])["state"] == "failed"
    assert (host / "etc/conf").read_text() == "old"


def test_a_step_killed_before_its_verification_is_done_again_and_then_final(host: Path, act: Act) -> None:
    conf = host / "etc/conf"
    conf.write_text("first")
    killed = undo.Undo("a step")
    killed.save(str(conf))
    conf.write_text("second")  # and then came the kill
    second = {"actions": [put(conf, "second"), manager(host)], "done_if": [run("grep", "-q", "second", str(conf))]}

    asked = {"op": "probe", "steps": [("a step", second["done_if"]), ("another", second["done_if"])]}
    assert steps.probe(asked, NO_TREES) == {"done": [False, True]}
    assert act(**second)["state"] == "done" and restarts(host) == 1
    assert act(**second)["state"] == "skip"
    assert act(actions=[put(conf, "third"), run("false")])["state"] == "failed"
    assert conf.read_text() == "second"


def test_a_killed_step_undoes_nothing_that_a_later_step_wrote(host: Path, act: Act) -> None:
    conf, other = host / "etc/conf", host / "etc/other"
    killed = undo.Undo("a step")
    for path in (conf, other):
        path.write_text("first")
        killed.save(str(path))
        path.write_text("half-way")

    assert act(title="another", actions=[put(conf, "second"), run("false")])["state"] == "failed"
    assert act(title="another", actions=[put(conf, "second")])["state"] == "done"
    assert act(actions=[put(conf, "third"), put(other, "third"), run("false")])["state"] == "failed"
    assert (conf.read_text(), other.read_text()) == ("second", "first")


def test_a_full_disk_changes_nothing(host: Path, act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    (host / "etc/conf").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = act(actions=[put(host / "etc/conf", "new"), manager(host)])

    assert answer["state"] == "failed" and "No space left" in answer["what"]
    monkeypatch.undo()
    assert (host / "etc/conf").read_text() == "old"
    assert [path.name for path in (host / "etc").iterdir()] == ["conf"]


def test_a_file_that_cannot_be_read_is_not_taken_for_absent(
    host: Path, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf, lstat = host / "etc/conf", os.lstat
    conf.write_text("old")

    def failing(path: str | os.PathLike[str], **options: Any) -> os.stat_result:
        if str(path) == str(conf):
            raise OSError(errno.EIO, "Input/output error")
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", failing)
    assert act(actions=[put(conf, "new")])["state"] == "failed"
    assert conf.read_text() == "old"


def test_the_record_of_steps_is_bounded(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LONGEST_RECORD", 2000)
    for number in range(100):
        steps.record({"title": f"step {number}"})

    lines = (host / "var/steps.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["title"] == "step 99" and json.loads(lines[0])
    assert (host / "var/steps.jsonl").stat().st_size < 2200
