"""What a bundle says of its making: commands, time, version of the code."""

import re
from pathlib import Path

import pytest

from model.bundling import provenance
from model.run_dir import RECIPE
from model.settings import choose


def test_the_reproducing_command_gives_the_same_settings() -> None:
    """What the card prints goes through the trainer's own parser and yields these settings again."""
    from model import train
    from model.training import arguments

    wanted = choose(arch="dag", loss="focal", epochs=9, seed=3, dense=(64, 8), mirror=True, class_weights=False)
    first, second = provenance.command(wanted, "a name", True, provenance.Origin("kermany")).splitlines()
    options = arguments.parser().parse_args(first.split()[3:])
    assert train.settings_of_run(options, Path("nowhere")) == wanted
    assert second == "python -m model.export RUN DATA --out BUNDLE --name 'a name' --source kermany --test"
    _, second = provenance.command(wanted, "a", False, provenance.Origin("Ours", [18, 90])).splitlines()
    assert second == "python -m model.export RUN DATA --out BUNDLE --name a --source Ours --ages 18 90"
    _, second = provenance.command(wanted, "a", True, provenance.Origin(license="mit")).splitlines()
    assert second == "python -m model.export RUN DATA --out BUNDLE --name a --license mit --test"


def test_commands_of_another_recipe_say_so() -> None:
    """The same command now trains another network."""
    words = provenance.command(choose(), "a", False, provenance.Origin(recipe=RECIPE - 1))
    assert words.splitlines()[0] == f"# recipe {RECIPE - 1}; with recipe {RECIPE} of this code it is another network:"
    assert "recipe" not in provenance.command(choose(), "a", False, provenance.Origin())


def test_only_the_name_of_the_initial_weights_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "start.keras").touch()
    command = provenance.command(choose(weights=str(tmp_path / "start.keras")), "x", False, provenance.Origin())
    assert "--weights start.keras" in command and str(tmp_path) not in command


def test_creation_time_follows_source_date_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    assert provenance.now() == "2026-01-01T00:00:00Z"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", provenance.now())


def test_code_version_names_the_commit_of_a_checkout() -> None:
    code_version = provenance.code_version()
    if (Path(provenance.__file__).parents[2] / ".git").exists():
        assert re.search(r"\+[0-9a-f]{12}(-dirty)?$", code_version)
    else:
        assert re.fullmatch(r"[0-9.]+|unpackaged", code_version)
