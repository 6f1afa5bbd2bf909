"""Progress of several operations at once, with and without a terminal."""

import io

from rich.console import Console

from pneumoctl.terminal.progress import Bars, PlainLines


def test_off_a_terminal_each_end_is_a_line() -> None:
    printed: list[tuple[str, str]] = []
    lines = PlainLines(lambda text, style: printed.append((text, style)))
    lines.end("before.the.total", "there")
    lines.expect(3)
    lines.begin("aws_vpc.main", "creating")
    lines.end("aws_vpc.main", "created in 2 s")
    lines.end("aws_eip.nat", "denied", succeeded=False)
    assert printed == [
        ("  ✓ before.the.total: there", ""),
        ("  ✓ [2/3] aws_vpc.main: created in 2 s", ""),
        ("  ✗ [2/3] aws_eip.nat: denied", "red"),
    ]


def test_off_a_terminal_each_wait_is_a_line_unless_json_is_wanted() -> None:
    printed: list[str] = []
    for waits in (True, False):
        lines = PlainLines(lambda text, _: printed.append(text), waits)
        lines.wait("app-0", "waiting for its host key", 600)
        lines.wait("app-0", "waiting for SSH", 600)
    assert printed == [
        "  … app-0: waiting for its host key, 600 s at most",
        "  … app-0: waiting for SSH, 600 s at most",
    ]


def test_on_a_terminal_a_wait_shows_what_it_is_for_now() -> None:
    out = io.StringIO()
    with Bars("boot", Console(file=out, force_terminal=True, width=100)) as bars:
        bars.wait("app-0", "waiting for its host key", 600)
        bars.wait("app-0", "waiting for SSH", 600)
        bars._bars.refresh()
        assert len(bars._running) == 1
        bars.end("app-0", "up")
    assert "app-0: waiting for SSH, 600 s at most" in out.getvalue()


def test_on_a_terminal_what_goes_on_is_shown_and_what_failed_stays() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Bars("provision", console) as bars:
        bars.expect(2)
        bars.begin("aws_vpc.main", "creating")
        bars.begin("aws_vpc.main", "creating")
        bars._bars.refresh()
        bars.end("aws_vpc.main", "created")
        bars.end("aws_eip.nat", "denied", succeeded=False)
        bars._bars.refresh()
        assert bars._running == {}
    output = out.getvalue()
    assert "creating aws_vpc.main" in output and "1/2" in output and "aws_eip.nat: denied" in output
