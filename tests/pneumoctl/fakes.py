"""A transport that records the calls to it."""

from collections.abc import Mapping, Sequence

from pneumoctl.plan.executor import HostAccess
from pneumoctl.plan.steps import Service
from pneumoctl.plan.transport import Output


class FakeTransport:
    """Answers commands from a table (first word or whole line -> exit code) and records every action."""

    def __init__(self, codes: Mapping[str, int] | None = None) -> None:
        self.codes = codes or {}
        self.acts: list[str] = []
        self.files: dict[str, bytes] = {}

    def run(self, argv: Sequence[str], timeout: float) -> Output:
        line = " ".join(argv)
        self.acts.append(line)
        code = self.codes.get(line, self.codes.get(argv[0], 0))
        return Output(code, f"said {line}", "it broke" if code else "")

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def put(self, content: bytes, path: str, mode: int) -> None:
        if path.startswith("/full/"):
            raise OSError(28, "No space left on device")
        self.acts.append(f"put {path} {mode:o}")
        self.files[path] = content

    def copy(self, source: str, path: str, exclude: Sequence[str]) -> None:
        self.acts.append(f"copy {source} {path}")

    def link(self, path: str, target: str) -> None:
        self.acts.append(f"link {path} {target}")

    def fetch(self, source: str, path: str) -> None:
        self.acts.append(f"fetch {source} {path}")


def host_access(transport: FakeTransport) -> HostAccess:
    """A host with a fake transport and a service manager called `ctl VERB NAME`."""

    def argv(action: Service) -> tuple[str, ...]:
        return ("ctl", action.verb, action.name)

    return HostAccess(transport, argv)
