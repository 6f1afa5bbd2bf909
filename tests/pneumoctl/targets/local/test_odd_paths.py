"""A state folder with a name that no configuration can hold: the preflight refuses it."""

from dataclasses import replace
from pathlib import Path

import pytest

from pneumoctl.errors import Exit
from pneumoctl.targets.local import supervisor
from tests.pneumoctl.conftest import Operator


def moved(operator: Operator, name: str) -> Operator:
    """The same operator, whose state lies in a folder of that name."""
    state = operator.state / name
    state.mkdir()
    return replace(operator, state=state, environment=operator.environment | {"XDG_STATE_HOME": str(state)})


@pytest.mark.parametrize(
    "name",
    ["a #b", "line\nbreak", b"latin-\xe9".decode("utf-8", "surrogateescape")],
)
def test_a_folder_that_no_configuration_can_name_is_refused_by_preflight(operator: Operator, name: str) -> None:
    odd = moved(operator, name)
    error = odd.json("up", "-y", code=Exit.PREFLIGHT)["error"]
    assert "directory name" in error["message"] and "XDG_STATE_HOME" in error["hint"]
    assert not odd.directory.exists()


def test_a_redis_server_that_no_configuration_can_name_is_refused(operator: Operator, tmp_path: Path) -> None:
    server = tmp_path / "a #b"
    server.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=0'\n")
    server.chmod(0o755)
    operator.environment["PNEUMO_REDIS_SERVER"] = str(server)
    assert "redis path" in operator.json("up", "-y", code=Exit.PREFLIGHT)["error"]["message"]
    assert not operator.directory.exists()


def test_what_configparser_takes_for_a_comment_is_known() -> None:
    assert all(
        supervisor.unwritable(path) for path in ("/a #b", "/a ;b", "/a\u00a0;b", "/a\t#", "/a\nb", "/a\x07b", "/a\x7fb")
    )
    assert not any(supervisor.unwritable(path) for path in ("/a#b", "/a;b", "/a b", "/50%", "/a\\b", '/"', "/é"))
