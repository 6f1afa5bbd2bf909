"""`pneumoctl teardown`: export the results, remove the stack, and prove that nothing remains."""

from typing import Annotated

import typer

from pneumoctl.cli.invocation import Invocation, on_stack
from pneumoctl.cli.options import DryRun, Yes
from pneumoctl.targets.common.keep import keep
from pneumoctl.targets.dispatch import target
from pneumoctl.terminal.console import console


@on_stack("target", alarm=False)
def teardown(
    invocation: Invocation,
    purge: Annotated[bool, typer.Option("--purge", help="Delete results and files without exporting them.")] = False,
    results_only: Annotated[
        bool,
        typer.Option(
            "--results-only", help="Export the results, but neither the model bundles nor the files in the bucket."
        ),
    ] = False,
    end_training: Annotated[
        bool, typer.Option("--end-training", help="End a training that is under way, without asking (aws).")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """End the stack and prove that nothing remains.

    The results in the store, the model bundles and (aws) the files in the bucket are exported first. If that fails,
    nothing is destroyed. Safe to repeat. If a training is under way on the GPU host, it asks whether to end that, also
    with --yes.

    Exit code 7 if AWS does not answer and the stack may have a GPU host.
    """
    return console.report(target(*invocation).teardown(keep(purge, results_only), yes, dry_run, end_training))
