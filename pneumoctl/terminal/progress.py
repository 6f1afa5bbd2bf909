"""Progress of many things that go on at once: live bars on a terminal, a line an event elsewhere."""

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class Activities(Protocol):
    """What a caller tells; a thing is known by its name."""

    def expect(self, total: int) -> None:
        """So many things will be done in all."""

    def begin(self, name: str, doing: str) -> None:
        """It goes on from now; again for one that goes on is nothing."""

    def end(self, name: str, message: str, succeeded: bool = True) -> None:
        """It is over."""

    def drop(self, name: str) -> None:
        """It is over and no news."""

    def note(self, text: str) -> None:
        """Something about the whole."""


class Lines:
    """One line for each thing that ended."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note
        self._done = self._total = 0

    def expect(self, total: int) -> None:
        """See Activities."""
        self._total = total

    def begin(self, name: str, doing: str) -> None:
        """See Activities; a line for every start would only double the log."""

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
    """A bar for the whole and a spinner for each thing that goes on."""

    def __init__(self, title: str, console: "Console") -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[count]}"))
        self._bars = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._whole = self._bars.add_task(title, total=None, count="")
        self._going: dict[str, TaskID] = {}
        self._done = self._total = 0

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def expect(self, total: int) -> None:
        """See Activities."""
        self._total = total
        self._bars.update(self._whole, total=total, count=f"{self._done}/{total}")

    def begin(self, name: str, doing: str) -> None:
        """See Activities."""
        if name not in self._going:
            self._going[name] = self._bars.add_task(f"{doing} {name}", total=None, count="")

    def drop(self, name: str) -> None:
        """See Activities."""
        if name in self._going:
            self._bars.remove_task(self._going.pop(name))

    def note(self, text: str) -> None:
        """See Activities."""
        self._bars.console.print(f"  {text}", style="yellow", markup=False, soft_wrap=True)

    def end(self, name: str, message: str, succeeded: bool = True) -> None:
        """See Activities."""
        self.drop(name)
        self._done += succeeded
        count = f"{self._done}/{self._total}" if self._total else str(self._done)
        self._bars.update(self._whole, completed=self._done, count=count)
        if not succeeded:
            self._bars.console.print(f"  ✗ {name}: {message}", style="red", markup=False, soft_wrap=True)
