"""What a stack does with terraform: prepare, plan, apply, read, adopt."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pneumoctl.aws.terraform import working_dir
from pneumoctl.aws.terraform.errors import explained
from pneumoctl.aws.terraform.events import Listener, Progress, Report, errors_in
from pneumoctl.aws.terraform.plan_json import Planned, Saved, parse
from pneumoctl.aws.terraform.process import Runs
from pneumoctl.aws.terraform.query import ask, environment
from pneumoctl.aws.terraform.state import Resource, resources
from pneumoctl.aws.terraform.stub import stub
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import bundled, write_atomically

__all__ = ["Planned", "Progress", "Resource", "Terraform"]


def _silent(_: Progress) -> None:
    """Report to nobody."""


@dataclass
class _StateCache:
    """The resources of the state since they were last read; None after terraform ran."""

    resources: list[Resource] | None = None


@dataclass(frozen=True)
class Terraform:
    """Terraform at work in a stack's directory. `environment`: all of it, with AWS's region and profile."""

    directory: Path
    environment: Mapping[str, str]
    log: Path
    _state: _StateCache = field(default_factory=_StateCache, init=False, compare=False)

    @property
    def suspect(self) -> bool:
        """Whether the last apply ended otherwise than well: things may exist that the state does not know."""
        return self._mark.exists()

    @property
    def going_on(self) -> bool:
        """Whether a terraform runs in the stack's directory, ours or one that an earlier pneumoctl left."""
        return self._runs.going_on()

    def attach(self, report: Report = _silent) -> bool:
        """Wait for a terraform that an earlier pneumoctl left running, showing what it does; False if there is none."""
        with self._listening(report) as listener:
            self._state.resources = None
            return self._runs.attach(listener.hear, listener.note)

    def prepare(
        self, variables: Mapping[str, Any], state_bucket: str, region: str, stack: str, report: Report = _silent
    ) -> None:
        """Bring the working copy up to date; `terraform init` only where needed.

        Moves the state when it is to be kept elsewhere than now, and keeps a copy of the old one.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.attach(report)
        if self._copy.mend_state():
            self._mark.touch(mode=0o600)
            report(Progress("note", text="terraform's state was cut short by a kill: the last copy of it is used"))
        self._copy.write(bundled("terraform"), variables)
        backend = working_dir.s3(state_bucket, region, stack) if state_bucket else {}
        old = self._copy.backend()
        if old is None or old == backend:
            self._initialise(backend, report)
        else:
            self._migrate(old, backend, report)
        if (kept := self.directory / "errored.tfstate").exists():  # terraform could not store it then
            self._run(["state", "push", "-no-color", kept.name], report)
            kept.rename(self._dated("errored"))

    def plan(self, refresh_only: bool = False, report: Report = _silent) -> Planned:
        """A saved plan, read. With `refresh_only` its `drifted` is what to look at."""
        return self.read(self.save_plan(refresh_only, report))

    def save_plan(self, refresh_only: bool = False, report: Report = _silent) -> Saved:
        """A plan, ready to be applied."""
        path = self.directory / working_dir.OURS / "plan"
        modes = ["-refresh-only"] * refresh_only
        told = self._run(["plan", "-json", "-input=false", f"-out={path}", *modes], report)
        return Saved(path, told.total, not told.changes, told.drift)

    def read(self, saved: Saved) -> Planned:
        """What a plan is about. Takes terraform as long as setting out to apply it, and may go on meanwhile."""
        if saved.no_op and not saved.drift:
            return Planned((), (), saved.path, True)
        changes, drifted = parse(json.loads(self._read(["show", "-json", str(saved.path)])))
        return Planned(changes, drifted, saved.path, saved.no_op)

    def apply(self, planned: Planned | Saved, report: Report = _silent) -> None:
        """Do what was planned. PneumoError names what failed, what was done and what to type; the state is kept."""
        self._act([str(planned.path)], report)
        planned.path.unlink(missing_ok=True)

    def destroy(self, report: Report = _silent) -> None:
        """Destroy all that the state knows, in one run: what to plan there is none. Errors as of `apply`."""
        self._act(["-destroy", "-auto-approve"], report)

    def _act(self, arguments: list[str], report: Report) -> None:
        self._mark.touch(mode=0o600)
        self._run(["apply", "-json", "-input=false", *arguments], report)
        self._mark.unlink()

    def outputs(self) -> dict[str, Any]:
        """The values of terraform's outputs by name; empty before the first apply."""
        return {name: one["value"] for name, one in json.loads(self._read(["output", "-json"])).items()}

    def resources(self) -> list[Resource]:
        """What the state knows, things in AWS and others. Read once, and again after each run of terraform."""
        if self._state.resources is None:
            self._state.resources = resources(self._read(["state", "pull"]))
        return self._state.resources

    def adopt(self, things: Iterable[tuple[str, str]], report: Report = _silent) -> None:
        """Take things that exist in AWS into the state (terraform import): (address, import id) each.

        One that is in the state already, or has gone from AWS, is left. Afterwards nothing is suspect.
        """
        known = {one.address for one in self.resources()}
        for address, id in things:
            try:
                if address not in known:
                    report(Progress("note", text=f"adopting {address} ({id}): made by a run that was cut short"))
                    self._import(address, id, report)
            except PneumoError as error:
                if "non-existent remote object" not in error.message:
                    raise
        self._mark.unlink(missing_ok=True)

    def _import(self, address: str, id: str, report: Report) -> None:
        """In a folder beside, with an empty block for the one resource.

        Terraform evaluates a configuration to import into it, and ours cannot be while half of it is missing.
        """
        beside = self.directory / working_dir.OURS / "adopt"
        document = stub(address, self._region, str(self._copy.variables()["stack"]))
        write_atomically(beside / "main.tf.json", json.dumps(document).encode(), 0o600)
        for name in (".terraform.lock.hcl", working_dir.BACKEND):
            (beside / name).unlink(missing_ok=True)
            if (self.directory / name).exists():
                (beside / name).symlink_to(self.directory / name)
        local = [] if self._copy.backend() else [f"-state={self.directory / 'terraform.tfstate'}", "-backup=-"]
        self._run(["import", "-no-color", "-input=false", *local, address, id], report, beside)

    def _initialise(self, backend: Mapping[str, Any], report: Report) -> None:
        self._copy.write_backend(backend)
        if not self._copy.initialised(backend):
            newer = ["-upgrade"] * self._copy.versions_changed()
            self._run(["init", "-no-color", "-input=false", *newer], report)
            self._copy.note_initialised(backend)

    def _migrate(self, old: Mapping[str, Any], new: Mapping[str, Any], report: Report) -> None:
        self._initialise(old, report)
        before = self._read(["state", "pull"])
        if before.strip():
            write_atomically(self._dated("before-migration"), before.encode(), 0o600)
        self._copy.write_backend(new)
        self._run(["init", "-no-color", "-input=false", "-migrate-state", "-force-copy"], report)
        after = self._read(["state", "pull"])
        if resources(after) != resources(before):
            raise PneumoError(
                f"after its move terraform's state is not what it was; the old one is in {self.directory}",
                f"compare, then: terraform -chdir={self.directory} state push -force OLD-ONE",
            )
        self._copy.note_initialised(new)

    def _run(self, arguments: list[str], report: Report, cwd: Path | None = None) -> Listener:
        """Run terraform detached; PneumoError if it fails. One that still runs is waited for first."""
        self.attach(report)
        with self._listening(report) as listener:
            listener.note_in_log(f"terraform {' '.join(arguments)}")
            self._state.resources = None
            argv = ["terraform", *arguments]
            code = self._runs.run(argv, cwd or self.directory, self._environment, listener.hear, listener.note)
        if code:
            raise self._failed(listener, arguments[0], code)
        return listener

    def _failed(self, listener: Listener, verb: str, code: int) -> PneumoError:
        done = [f"{address} ({action})" for address, action in listener.finished]
        doing = f"terraform {verb}" + (f" (ended by signal {-code})" if code < 0 else "")
        begun = sorted(listener.unfinished)
        error = explained(listener.errors(), self.directory, self._region, doing, done=done, begun=begun)
        if error.details["terraform"] == "init":
            self._copy.forget_initialised()
        if verb == "apply" and listener.total:
            kept = f"; {len(done)} of {listener.total} operations were done, and the state knows of them"
            exit_code = Exit.PARTLY if done and error.code == Exit.FAILED else error.code
            return PneumoError(error.message + kept, error.hint, exit_code, **error.details)
        return error

    def _read(self, arguments: list[str]) -> str:
        """What terraform answers to a question that changes nothing."""
        argv = ["terraform", *arguments]
        done = ask(argv, self._environment, self.directory)
        if done.returncode:
            said = errors_in(f"{done.stdout}\n{done.stderr}")
            raise explained(said, self.directory, self._region, f"terraform {arguments[0]}")
        return done.stdout

    @contextmanager
    def _listening(self, report: Report) -> Iterator[Listener]:
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log.touch(mode=0o600)
        with self.log.open("a") as log:
            yield Listener(partial(self._keeping, report), log)

    def _keeping(self, report: Report, said: Progress) -> None:
        self._copy.keep_state()
        report(said)

    @property
    def _runs(self) -> Runs:
        return Runs(self.directory / working_dir.OURS)

    @property
    def _copy(self) -> WorkingCopy:
        return WorkingCopy(self.directory)

    @property
    def _mark(self) -> Path:
        return self.directory / working_dir.OURS / "applying"

    @property
    def _region(self) -> str:
        return str(self._copy.variables().get("region", ""))

    @property
    def _environment(self) -> dict[str, str]:
        return environment(self.environment) | {"TF_DATA_DIR": str(self.directory / ".terraform")}

    def _dated(self, what: str) -> Path:
        return self.directory / f"terraform.tfstate.{what}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
