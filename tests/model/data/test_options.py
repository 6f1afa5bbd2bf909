"""The options of source and ages: impossible ages are refused before anything starts."""

import argparse

import pytest

from model.data import options


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="any")
    options.add_options(parser)
    return parser.parse_args(words)


def test_the_ages_are_two_whole_numbers() -> None:
    assert (parsed().source, parsed().ages) == ("", None)
    assert parsed("--ages", "18", "90", "--source", "Ours").ages == [18, 90]
    assert parsed("--ages", "0", "0").ages == [0, 0]


@pytest.mark.parametrize("words", [("5", "1"), ("-1", "5"), ("1", "500"), ("1.5", "5"), ("1",), ("1", "5", "9")])
def test_other_ages_are_refused_before_anything_starts(words: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--ages", *words)
    assert ended.value.code == 2 and "error: " in capsys.readouterr().err
