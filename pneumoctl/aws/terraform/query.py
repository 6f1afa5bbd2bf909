"""Run terraform commands that change nothing, get its version, and make the environment in which it runs."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError

SUPPORTED = ((1, 10, 0), (2, 0, 0))  # from, up to but not including
INSTALL = "install terraform, 1.10 or newer: https://developer.hashicorp.com/terraform/install"
_ANSWER_S = 300.0
# These would change what terraform does with the arguments that it gets.
_NOT_PASSED_ON = ("TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR", "TF_VAR_")


def ask(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
    """Run a terraform command that changes nothing."""
    try:
        return subprocess.run(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise PneumoError("terraform is not installed", INSTALL, Exit.PREFLIGHT) from None
    except subprocess.TimeoutExpired:
        message = f"{' '.join(argv[:2])} gave no answer in {_ANSWER_S:.0f} s"
        raise PneumoError(message, "run the same command again") from None


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for terraform: no prompts, no version checks, no variables that change its arguments."""
    passed = {name: value for name, value in inherited.items() if not name.startswith(_NOT_PASSED_ON)}
    if (file := passed.get("TF_CLI_CONFIG_FILE")) and not Path(file).is_file():
        passed["TF_CLI_CONFIG_FILE"] = os.devnull  # the same to terraform, without a warning in every output
    return passed | {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}


def version(inherited: Mapping[str, str]) -> tuple[int, ...]:
    """The version of the terraform on the PATH. Raises PneumoError (exit 4) if there is none."""
    done = ask(["terraform", "version", "-json"], environment(inherited), None)
    try:
        match = re.match(r"(\d+)\.(\d+)\.(\d+)", json.loads(done.stdout)["terraform_version"])
        return tuple(int(part) for part in match.groups()) if match else ()
    except (ValueError, KeyError):
        output = (done.stderr or done.stdout).strip()[-300:]
        raise PneumoError(f"terraform does not report its version: {output}", INSTALL, Exit.PREFLIGHT) from None
