"""Progress of several concurrent activities: live bars on a terminal, one line per event elsewhere."""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class Activities(Protocol):
    """The display of concurrent activities, each identified by its name."""

    def expect(self, total: int) -> None:
        """Set the total number of activities."""

    def begin(self, name: str, verb: str) -> None:
        """Show an activity as running; does nothing if it is shown already."""

    def wait(self, name: str, verb: str, limit_s: float) -> None:
        """Show what an activity waits for, for `limit_s` seconds at most; a further call replaces it."""

    def end(self, name: str, message: str, succeeded: bool = True) -> None:
        """Show the outcome of an activity."""

    def drop(self, name: str) -> None:
        """Remove an activity without an outcome."""

    def note(self, text: str) -> None:
        """Show a line that belongs to no activity."""


class PlainLines:
    """One line for each activity that ended and, with `waits`, one for whatever is waited for."""

    def __init__(self, note: Callable[[str, str], None], waits: bool = True) -> None:
        self._note, self._waits = note, waits
        self._done = self._total = 0

    def expect(self, total: int) -> None:
        """See Activities."""
        self._total = total

    def begin(self, name: str, verb: str) -> None:
        """See Activities; prints nothing, so that each activity has one line in a log."""

    def wait(self, name: str, verb: str, limit_s: float) -> None:
        """See Activities."""
        if self._waits:
            self._note(f"  … {name}: {verb}, {limit_s:.0f} s at most", "")

    def end(self, name: str, message: str, succeeded: bool = True) -> None:
        """See Activities."""
        self._done += succeeded
        count = f"[{self._done}/{self._total}] " if self._total else ""
        self._note(f"  {'✓' if succeeded else '✗'} {count}{name}: {message}", "" if succeeded else "red")

    def drop(self, name: str) -> None:
        """See Activities."""

    def note(self, text: str) -> None:
        """See Activities."""
        self._note(f"  {text}", "yellow")


class Bars:
    """A bar for all activities together and a spinner for each running one."""

    def __init__(self, title: str, console: "Console") -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[count]}"))
        self._bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._overall = self._bars.add_task(title, total=None, count="")
        self._running: dict[str, TaskID] = {}
        self._done = self._total = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def expect(self, total: int) -> None:
        """See Activities."""
        self._total = total
        self._bars.update(self._overall, total=total, count=f"{self._done}/{total}")

    def begin(self, name: str, verb: str) -> None:
        """See Activities."""
        if name not in self._running:
            self._running[name] = self._bars.add_task(f"{verb} {name}", total=None, count="")

    def wait(self, name: str, verb: str, limit_s: float) -> None:
        """See Activities; the bar shows the seconds."""
        self.begin(name, "")
        self._bars.update(self._running[name], description=f"{name}: {verb}, {limit_s:.0f} s at most")

    def drop(self, name: str) -> None:
        """See Activities."""
        if name in self._running:
            self._bars.remove_task(self._running.pop(name))

    def note(self, text: str) -> None:
        """See Activities."""
        self._bars.console.print(f"  {text}", style="yellow", markup=False, soft_wrap=True)

    def end(self, name: str, message: str, succeeded: bool = True) -> None:
        """See Activities."""
        self.drop(name)
        self._done += succeeded
        count = f"{self._done}/{self._total}" if self._total else str(self._done)
        self._bars.update(self._overall, completed=self._done, count=count)
        if not succeeded:
            self._bars.console.print(f"  ✗ {name}: {message}", style="red", markup=False, soft_wrap=True)
