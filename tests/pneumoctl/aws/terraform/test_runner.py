"""Plan, apply and destroy by the real terraform, with a configuration that needs no provider."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pneumoctl.aws.terraform import runner
from pneumoctl.aws.terraform.query import ask
from pneumoctl.aws.terraform.runner import Progress
from pneumoctl.errors import Exit, PneumoError
from tests.pneumoctl import tiny_terraform
from tests.pneumoctl.tiny_terraform import Tiny


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return tiny_terraform.make(tmp_path, monkeypatch)


def test_a_plan_is_applied_with_progress_and_the_state_can_be_read(tiny: Tiny) -> None:
    tiny.prepare("a", "b")
    planned = tiny.terraform.plan()
    assert {(change.address, change.action) for change in planned.changes} == {
        ('terraform_data.thing["a"]', "create"),
        ('terraform_data.thing["b"]', "create"),
    }
    assert not planned.no_op and planned.operations == 2
    assert tiny.terraform.resources() == [] and tiny.terraform.outputs() == {}
    tiny.terraform.apply(planned, tiny.heard.append)
    done = [event for event in tiny.heard if event.event == "done" and event.action == "create"]
    assert [(event.done, event.total) for event in done] == [(1, 2), (2, 2)]
    assert tiny.addresses() == ['terraform_data.thing["a"]', 'terraform_data.thing["b"]']
    ids = {resource.values["input"]["value"]: resource.id for resource in tiny.terraform.resources()}
    assert tiny.terraform.outputs() == {"things": ids}
    assert "made a" in tiny.log and '{"@level"' not in tiny.log
    assert not tiny.terraform.suspect


def test_the_state_is_read_again_only_after_terraform_changed_it(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[object] = []
    monkeypatch.setattr(runner, "ask", lambda argv, *others: (pulled.append(argv), ask(argv, *others))[1])
    tiny.prepare("a")
    assert tiny.terraform.resources() == []
    planned = tiny.terraform.plan()
    assert tiny.terraform.resources() == []
    assert [argv for argv in pulled if "pull" in argv] == [["terraform", "state", "pull"]]
    tiny.terraform.apply(planned)
    assert [resource.address for resource in tiny.terraform.resources()] == ['terraform_data.thing["a"]']


def test_an_unchanged_stack_has_no_changes_and_no_second_init(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    tiny.prepare("a")
    planned = tiny.terraform.plan()
    assert planned.no_op and planned.changes == () and planned.drifted == ()
    assert tiny.log.count("# terraform init") == 1


def test_a_plan_can_be_read_while_it_is_applied(tiny: Tiny) -> None:
    tiny.prepare("a", "b", seconds=2)
    saved = tiny.terraform.save_plan()
    assert (saved.operations, saved.no_op) == (2, False)
    assert saved.addresses == {'terraform_data.thing["a"]', 'terraform_data.thing["b"]'}
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(tiny.terraform.read, saved)
        tiny.terraform.apply(saved)
        assert [change.action for change in read.result().changes] == ["create", "create"]
    assert not saved.path.exists()


def test_destroy_removes_all_and_a_second_one_has_nothing_to_do(tiny: Tiny) -> None:
    tiny.prepare("a", "b")
    tiny.apply()
    tiny.heard.clear()
    tiny.terraform.destroy(tiny.heard.append)
    done = [event for event in tiny.heard if event.event == "done" and event.action == "delete"]
    assert [(event.done, event.total) for event in done] == [(1, 2), (2, 2)]
    assert tiny.terraform.resources() == [] and not tiny.terraform.suspect
    tiny.terraform.destroy()


def test_a_failure_half_way_keeps_the_state_and_says_what_was_done(tiny: Tiny) -> None:
    tiny.prepare("a", "b", fails=["no luck"])
    with pytest.raises(PneumoError) as caught:
        tiny.apply()
    error = caught.value
    assert error.code == Exit.PARTLY
    assert 'terraform_data.bad["no luck"]' in error.message and "exit status 3" in error.message
    assert "2 of 3 operations were done" in error.message
    assert "resumes" in error.hint
    assert sorted(error.details["done"]) == [f'terraform_data.thing["{letter}"] (create)' for letter in "ab"]  # type: ignore[call-overload]
    assert error.details["begun"] == ['terraform_data.bad["no luck"]']
    assert [failure["address"] for failure in error.details["failed"]] == ['terraform_data.bad["no luck"]']  # type: ignore[attr-defined]
    assert tiny.terraform.suspect
    tiny.prepare("a", "b")  # mended: what was done is not done again, the broken half is taken away
    planned = tiny.terraform.plan()
    assert [(change.address, change.action) for change in planned.changes] == [
        ('terraform_data.bad["no luck"]', "delete")
    ]
    tiny.terraform.apply(planned)
    assert not tiny.terraform.suspect


def test_a_stale_plan_is_refused(tiny: Tiny) -> None:
    tiny.prepare("a")
    planned = tiny.terraform.plan()
    planned.path.rename(planned.path.with_name("old"))
    tiny.apply()
    planned.path.with_name("old").rename(planned.path)
    with pytest.raises(PneumoError, match="out of date") as caught:
        tiny.terraform.apply(planned)
    assert caught.value.details["terraform"] == "stale plan"


def test_rejected_variables_are_reported_with_the_reason(tiny: Tiny) -> None:
    tiny.prepare(names="no list")
    with pytest.raises(PneumoError, match=r"terraform plan failed.*Invalid value for input variable"):
        tiny.terraform.plan()


def test_secrets_and_variables_are_in_no_argv_and_readable_by_the_user_only(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    for name in ("terraform.tfvars.json", "things.tf", ".pneumoctl/output", ".pneumoctl/prepared.json"):
        assert stat.S_IMODE((tiny.terraform.directory / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(tiny.terraform.log.stat().st_mode) == 0o600
    assert stat.S_IMODE(tiny.terraform.directory.stat().st_mode) == 0o700


def test_the_users_terraform_variables_do_not_change_what_we_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = {
        "TF_CLI_ARGS_plan": "-destroy",
        "TF_WORKSPACE": "other",
        "TF_DATA_DIR": str(tmp_path / "elsewhere"),
        "TF_VAR_seconds": "99",
    }
    tiny = tiny_terraform.make(tmp_path, monkeypatch, wild)
    tiny.prepare("a")
    tiny.apply()
    assert tiny.addresses() == ['terraform_data.thing["a"]']
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_provider_is_detected_and_installed_by_the_next_run(tiny: Tiny) -> None:
    (tiny.source / "things.tf").write_text('resource "null_resource" "one" {}')
    directory = tiny.terraform.directory
    with pytest.raises(PneumoError) as caught:
        tiny.prepare()
    assert caught.value.code == Exit.PREFLIGHT and caught.value.details["terraform"] == "provider"
    (tiny.source / "things.tf").write_text('resource "terraform_data" "one" {}')
    tiny.prepare()
    (directory / "things.tf").write_text('resource "null_resource" "one" {}')
    with pytest.raises(PneumoError) as caught:
        tiny.terraform.plan()
    assert caught.value.details["terraform"] == "init"
    tiny.prepare()
    assert tiny.log.count("# terraform init") == 3


def test_a_damaged_state_is_reported_with_the_file_to_inspect(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    state = tiny.terraform.directory / "terraform.tfstate"
    state.write_text(state.read_text()[:100])
    for question in (tiny.terraform.plan, tiny.terraform.outputs, tiny.terraform.resources):
        with pytest.raises(PneumoError, match="state is damaged") as caught:
            question()
        assert str(tiny.terraform.directory) in caught.value.hint


def test_a_state_truncated_by_a_kill_is_replaced_by_the_previous_one(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    tiny.prepare("a", "b")
    tiny.apply()
    state = tiny.terraform.directory / "terraform.tfstate"
    for length in (0, 100):
        state.write_text(state.read_text()[:length])
        (tiny.terraform.directory / ".pneumoctl" / "state").unlink(missing_ok=True)  # our newer copy
        tiny.prepare("a", "b")
        assert "truncated" in tiny.notes() and tiny.terraform.suspect
        tiny.heard.clear()
        assert tiny.addresses() == ['terraform_data.thing["a"]']
        tiny.apply()
        assert len(tiny.addresses()) == 2 and not tiny.terraform.suspect


def test_a_state_that_could_not_be_stored_is_stored_by_the_next_run(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    directory = tiny.terraform.directory
    newer = json.loads((directory / "terraform.tfstate").read_text())
    newer["serial"] += 1
    newer["outputs"] = {"late": {"value": "kept", "type": "string"}}
    (directory / "errored.tfstate").write_text(json.dumps(newer))
    tiny.prepare("a")
    assert tiny.terraform.outputs() == {"late": "kept"}
    assert not (directory / "errored.tfstate").exists()
    assert len(list(directory.glob("terraform.tfstate.errored-*"))) == 1


def test_drift_is_what_differs_from_the_state_and_changes_nothing(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.apply()
    planned = tiny.terraform.plan(refresh_only=True)
    assert planned.no_op and planned.drifted == ()


def test_progress_is_optional(tiny: Tiny) -> None:
    tiny.prepare("a")
    tiny.terraform.apply(tiny.terraform.plan())
    assert tiny.addresses() == ['terraform_data.thing["a"]']
    assert all(isinstance(event, Progress) for event in tiny.heard)
