"""The Typer application: lists the commands and imports the module of a command only when it is called."""

import importlib
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from pneumoctl import __version__
from pneumoctl.errors import Exit
from pneumoctl.terminal import streams

# command -> (module in pneumoctl.cli, the first line of its help). A module with `app` is a group of commands.
VERBS = {
    "up": ("up", "Bring the stack up and prove that it serves."),
    "status": ("status", "Show what runs, what answers and what it serves."),
    "predict": ("predict", "Score chest X-rays (PNG, JPEG, DICOM)."),
    "infer": ("infer", "Have the stack score a labelled folder."),
    "train": ("train", "Train a model here, or with --gpu on the GPU host."),
    "logs": ("logs", "Show the logs of the services."),
    "plan": ("plan", "Show what `up` would change."),
    "configure": ("configure", "Bring the hosts to their desired state (aws)."),
    "deploy": ("deploy", "Deploy a release of the API, the web page or the model (aws)."),
    "rollback": ("deploy", "Return to the previous release (aws)."),
    "doctor": ("doctor", "Check this machine and the account, with a fix for each fault."),
    "ssh": ("ssh", "Open a shell on a host, or run a command there (aws)."),
    "tunnel": ("tunnel", "Forward a local port to a service of the stack (aws)."),
    "drift": ("drift", "Show what differs from what `up` made (aws)."),
    "cost": ("cost", "Show what the stack costs (aws)."),
    "audit": ("audit", "Show who changed what, or with --clinical who saw which result."),
    "teardown": ("teardown", "End the stack and prove that nothing remains."),
    "init": ("init", "Write a commented pneumo.toml."),
    "offline-bundle": ("offline_bundle", "Collect packages for hosts without internet (aws)."),
    "data": ("data", "Download public data sets; upload one to the stack's bucket."),
    "gpu": ("gpu", "Show whether a GPU costs money; stop it; test its guards."),
    "runs": ("runs", "List training runs and their receipts."),
    "model": ("model", "List, compare, promote and copy trained models."),
    "users": ("users", "Add, list, disable and reset the users of the web page."),
    "tokens": ("tokens", "Make, list and revoke the tokens of client programs."),
    "results": ("results", "Export, import, report and erase stored results."),
    "secrets": ("secrets", "Rotate the secrets; replace lost ones (aws)."),
}


class LazyVerbs(TyperGroup):
    """Lists every command with its help; imports the module of a command when it is called or its help is shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = dict.fromkeys(VERBS, cast(Any, None))  # the names, for suggestions

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands, in the order in which a new user needs them."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command or the command group of this name; None if there is none."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"pneumoctl.cli.{VERBS[cmd_name][0]}")
        if hasattr(module, "app"):
            return get_group(module.app)
        verb = typer.Typer(rich_markup_mode=None, add_completion=False)
        verb.command(cmd_name)(getattr(module, cmd_name.replace("-", "_")))
        return get_command(verb)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Typer would end without a message after Ctrl-C and whenever any pipe breaks."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(Exit.INTERRUPTED) from None
        except BrokenPipeError as error:
            if streams.reader_has_gone(error):
                raise
            raise ConnectionError(error.strerror) from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


app = typer.Typer(
    name="pneumoctl",
    cls=LazyVerbs,
    help="Provision, deploy, train and prove a chest X-ray pneumonia classifier.",
    rich_markup_mode=None,  # Rich help doubles the start-up time
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pneumoctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Deploy a chest X-ray pneumonia classifier, train it, and remove it again."""


def takes(words: tuple[str, ...], option: str) -> bool:
    """Whether a command has an option that its help shows. `words`: COMMAND or GROUP COMMAND, which need not exist."""
    command: Any = get_group(app)
    for word in words:
        command = command.get_command(None, word) if hasattr(command, "get_command") else None
    return command is not None and any(
        option in parameter.opts and not getattr(parameter, "hidden", False) for parameter in command.params
    )
