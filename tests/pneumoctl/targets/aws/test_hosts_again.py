"""The command that is named after a failure repeats the failed one with its options."""

from pathlib import Path

import pytest

from pneumoctl.stack.settings import Settings
from pneumoctl.targets.aws.configuration.change import Task, _again


@pytest.mark.parametrize(
    ("task", "settings", "command"),
    [
        (Task("configure"), Settings(), "pneumoctl configure"),
        (Task("deploy api"), Settings(model="m"), "pneumoctl deploy api"),
        (Task("deploy web", source=Path("a b")), Settings(), "pneumoctl deploy web --source 'a b'"),
        (Task("deploy model"), Settings(model="/m"), "pneumoctl deploy model --bundle /m"),
        (Task("up"), Settings(offline_bundle="o.tar"), "pneumoctl up --offline-bundle o.tar"),
    ],
)
def test_the_command_that_is_named_has_the_flags_of_the_one_that_failed(
    task: Task, settings: Settings, command: str
) -> None:
    assert _again(settings, task) == command
