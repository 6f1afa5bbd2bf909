"""Terraform for a stack: prepare, plan, apply, read, import."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pneumoctl.aws.terraform import working_dir
from pneumoctl.aws.terraform.errors import explained
from pneumoctl.aws.terraform.events import Listener, Progress, Report, errors_in
from pneumoctl.aws.terraform.plan_json import Planned, Saved, parse
from pneumoctl.aws.terraform.process import Runs, TerraformRun
from pneumoctl.aws.terraform.query import ask, environment
from pneumoctl.aws.terraform.state import Resource, outputs, resources
from pneumoctl.aws.terraform.stub import stub
from pneumoctl.aws.terraform.working_dir import WorkingCopy
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import bundled, make_private, write_atomically

__all__ = ["Planned", "Progress", "Resource", "Terraform"]


def _silent(_: Progress) -> None:
    """Discard the report."""


@dataclass
class _StateCache:
    """The state as it was last read; None after terraform changed it."""

    text: str | None = None


@dataclass(frozen=True)
class Terraform:
    """Terraform in a stack's directory. `environment`: the whole environment, with AWS's region and profile.

    `lock`: whether a plan locks the state. `outdated`: a copy, made while a terraform changed the stack.
    """

    directory: Path
    environment: Mapping[str, str]
    log: Path
    lock: bool = True
    outdated: bool = False
    _state: _StateCache = field(default_factory=_StateCache, init=False, compare=False)

    @property
    def suspect(self) -> bool:
        """Whether the last apply did not succeed: resources may exist that are not in the state."""
        return self._copy.applying.exists()

    @property
    def current(self) -> TerraformRun | None:
        """The terraform that is running in the stack's directory, also one that an earlier pneumoctl left."""
        return self._runs.current()

    def attach(self, report: Report = _silent) -> bool:
        """Follow a terraform that an earlier pneumoctl left running until it ends; False if there is none."""
        if self.current is None:
            return False
        self._state.text = None
        with self._listening(report) as listener:
            return self._runs.attach(listener.hear, listener.note)

    def prepare(
        self, variables: Mapping[str, Any], state_bucket: str, region: str, stack: str, report: Report = _silent
    ) -> None:
        """Update the working directory; run `terraform init` only if needed.

        Migrates the state if the backend changes, and saves a copy of the old state.
        """
        make_private(self.directory)
        self.attach(report)
        self._state.text = None
        if self._copy.restore_state():
            self._copy.applying.touch(mode=0o600)
            report(Progress("note", text="a kill truncated terraform's state: using the last copy of it"))
        self._copy.write(bundled("terraform"), variables)
        backend = working_dir.s3(state_bucket, region, stack) if state_bucket else {}
        old = self._copy.backend()
        if old is None or old == backend:
            self._initialise(backend, report)
        else:
            self._migrate(old, backend, report)
        if (unsaved := self.directory / "errored.tfstate").exists():  # an earlier terraform could not store it
            self._run(["state", "push", "-no-color", unsaved.name], report)
            unsaved.rename(self._copy.dated("errored"))

    def plan(self, refresh_only: bool = False, report: Report = _silent) -> Planned:
        """Make a plan and read it. With `refresh_only` its `drifted` has the drift."""
        return self.read(self.save_plan(refresh_only, report))

    def save_plan(self, refresh_only: bool = False, report: Report = _silent, options: Sequence[str] = ()) -> Saved:
        """Make a plan, ready to be applied. `options`: more of terraform's, as -replace=ADDRESS."""
        path = self.directory / working_dir.OURS / "plan"
        modes = [*["-refresh-only"] * refresh_only, *["-lock=false"] * (not self.lock), *options]
        heard = self._run(["plan", "-json", "-input=false", f"-out={path}", *modes], report)
        return Saved(path, heard.total, not heard.changes, heard.drift, frozenset(heard.planned))

    def read(self, saved: Saved) -> Planned:
        """Read a saved plan. This takes terraform some seconds; the plan may be applied at the same time."""
        if saved.no_op and not saved.drift:
            return Planned((), (), saved.path, True)
        changes, drifted = parse(json.loads(self._read(["show", "-json", str(saved.path)])))
        return Planned(changes, drifted, saved.path, saved.no_op)

    def apply(self, planned: Planned | Saved, report: Report = _silent) -> None:
        """Apply a plan. Raises PneumoError with what failed, what was done and the next command; the state is saved."""
        self._act([str(planned.path)], report)
        planned.path.unlink(missing_ok=True)

    def destroy(self, report: Report = _silent) -> None:
        """Destroy all resources of the state, without a separate plan. Errors as of `apply`."""
        self._act(["-destroy", "-auto-approve"], report)

    def _act(self, arguments: list[str], report: Report) -> None:
        self._copy.applying.touch(mode=0o600)
        self._run(["apply", "-json", "-input=false", *arguments], report)
        self._copy.applying.unlink()

    def outputs(self) -> dict[str, Any]:
        """The values of terraform's outputs by name; empty before the first apply."""
        return outputs(self._pull())

    def resources(self) -> list[Resource]:
        """The resources of the state."""
        return resources(self._pull())

    def _pull(self) -> str:
        """The state: read once, and again after each run of terraform that may change it."""
        if self._state.text is None:
            self._state.text = self._read(["state", "pull"])
        return self._state.text

    def adopt(self, imports: Iterable[tuple[str, str]], report: Report = _silent) -> None:
        """Import existing resources into the state: (address, import id) each. Afterwards the state is not suspect.

        Resources that are in the state already, or no longer exist in AWS, are skipped.
        """
        in_state = {resource.address for resource in self.resources()}
        for address, id in imports:
            try:
                if address not in in_state:
                    report(Progress("note", text=f"importing {address} ({id}), which the state does not list"))
                    self._import(address, id, report)
            except PneumoError as error:
                if "non-existent remote object" not in error.message:
                    raise
        self._copy.applying.unlink(missing_ok=True)

    def forget(self, addresses: Sequence[str], report: Report = _silent) -> None:
        """Remove resources from the state, and nothing in AWS."""
        if addresses:
            report(Progress("note", text=f"removing from the state what is gone: {', '.join(addresses)}"))
            self._run(["state", "rm", "-no-color", *addresses], report)

    def _import(self, address: str, id: str, report: Report) -> None:
        """Import in a separate folder, with an empty block for the resource.

        Terraform evaluates the configuration before an import, which fails for the stack's while resources are missing.
        """
        document = stub(address, self._copy.region, str(self._copy.variables()["stack"]))
        beside = self._copy.write_beside(document)
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
            write_atomically(self._copy.dated("before-migration"), before.encode(), 0o600)
        self._copy.write_backend(new)
        self._run(["init", "-no-color", "-input=false", "-migrate-state", "-force-copy"], report)
        after = self._read(["state", "pull"])
        if resources(after) != resources(before):
            raise PneumoError(
                f"terraform's state differs from what it was before it was moved; the old one is in {self.directory}",
                f"compare the two; to restore the old one: terraform -chdir={self.directory} state push -force FILE",
            )
        self._copy.note_initialised(new)

    def _run(self, arguments: list[str], report: Report, cwd: Path | None = None) -> Listener:
        """Wait for a terraform that still runs, then run another one detached. Raises PneumoError if it fails."""
        self.attach(report)
        with self._listening(report) as listener:
            listener.note_in_log(f"terraform {' '.join(arguments)}")
            if arguments[0] != "plan":  # what it refreshes is only in the plan
                self._state.text = None
            argv = ["terraform", *arguments]
            code = self._runs.run(argv, cwd or self.directory, self._environment, listener.hear, listener.note)
        if code:
            raise self._failed(listener, arguments[0], code)
        return listener

    def _failed(self, listener: Listener, verb: str, code: int) -> PneumoError:
        done = [f"{address} ({action})" for address, action in listener.finished]
        doing = f"terraform {verb}" + (f" (ended by signal {-code})" if code < 0 else "")
        begun = sorted(listener.unfinished)
        error = explained(listener.errors(), self.directory, self._copy.region, doing, done=done, begun=begun)
        if error.details["terraform"] == "init":
            self._copy.forget_initialised()
        if verb == "apply" and listener.total:
            saved = f"; {len(done)} of {listener.total} operations were done and are in the state"
            exit_code = Exit.PARTLY if done and error.code == Exit.FAILED else error.code
            return PneumoError(error.message + saved, error.hint, exit_code, **error.details)
        return error

    def _read(self, arguments: list[str]) -> str:
        """The output of a terraform command that changes nothing."""
        done = ask(["terraform", *arguments], self._environment, self.directory)
        if done.returncode:
            errors = errors_in(f"{done.stdout}\n{done.stderr}")
            raise explained(errors, self.directory, self._copy.region, f"terraform {arguments[0]}")
        return done.stdout

    @contextmanager
    def _listening(self, report: Report) -> Iterator[Listener]:
        make_private(self.log.parent)
        self.log.touch(mode=0o600)
        with self.log.open("a") as log:
            yield Listener(partial(self._keeping, report), log)

    def _keeping(self, report: Report, progress: Progress) -> None:
        self._copy.keep_state()
        report(progress)

    @property
    def _runs(self) -> Runs:
        return Runs(self.directory / working_dir.OURS)

    @property
    def _copy(self) -> WorkingCopy:
        return WorkingCopy(self.directory)

    @property
    def _environment(self) -> dict[str, str]:
        return environment(self.environment) | {"TF_DATA_DIR": str(self.directory / ".terraform")}
