"""The operator's home and environment, in which pneumoctl, terraform and ssh run inside the lab."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.lab.machine.cloud import CREDENTIALS
from tests.lab.machine.paths import API_URL, OPERATOR, REGION, LabPaths

PROVIDER = "registry.terraform.io/hashicorp/aws"
TERMINAL_VARIABLES = ("TERM", "LANG", "LC_ALL", "LC_CTYPE", "COLUMNS", "LINES", "NO_COLOR", "TF_LOG", "PYTHONPATH")
CONFIGURATION = """\
disable_checkpoint = true
provider_installation {{
  filesystem_mirror {{
    path    = "{mirror}"
    include = ["registry.terraform.io/*/*"]
  }}
}}
"""


@cache
def plugin_mirror() -> Path | None:
    """A folder that mirrors terraform's registry: TF_PLUGIN_MIRROR, else the first one found on this machine."""
    named = os.environ.get("TF_PLUGIN_MIRROR")
    if named:
        return Path(named) if Path(named, PROVIDER).is_dir() else None
    # Not those below .terraform, which belong to one working copy. Deeper folders are not searched: it takes seconds.
    where = ["find", "/", "-xdev", "-maxdepth", "7", "-name", ".terraform", "-prune"]
    matching = ["-o", "-type", "d", "-path", f"*/{PROVIDER}", "-print", "-quit"]
    lines = subprocess.run([*where, *matching], text=True, capture_output=True).stdout.splitlines()
    return Path(lines[0].removesuffix(f"/{PROVIDER}")) if lines else None


def create(paths: LabPaths, mirror: Path) -> None:
    """Create the operator's home."""
    for path in (paths.home, _state(paths)):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    _configuration(paths).write_text(CONFIGURATION.format(mirror=mirror))
    prompt = f"\\[\\e[36m\\][lab {paths.name}: operator]\\[\\e[0m\\] \\w \\$ "
    (paths.home / ".bashrc").write_text(f"PS1='{prompt}'\nalias ll='ls -l'\n")


def environment(paths: LabPaths) -> dict[str, str]:
    """The complete environment of the operator. Only the terminal settings come from the caller's environment."""
    tools = Path(sys.executable).parent
    return {
        **{name: os.environ[name] for name in TERMINAL_VARIABLES if name in os.environ},
        **CREDENTIALS,
        "PATH": f"{tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(paths.home),
        "USER": "root",
        "XDG_STATE_HOME": str(_state(paths)),
        "AWS_ENDPOINT_URL": API_URL,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "TF_CLI_CONFIG_FILE": str(_configuration(paths)),
        "CHECKPOINT_DISABLE": "1",
        # The many short runs of terraform take a third less CPU time without a garbage collector.
        "GOGC": "off",
        "GOMEMLIMIT": "1200MiB",
        "PNEUMO_TARGET": "aws",
        "PNEUMO_OPERATOR_CIDR": f"{OPERATOR}/32",
        "PNEUMO_PAGE_TIMEOUT_S": "60",  # this machine may be busy
        "PNEUMO_LAB": paths.name,
    }


def _state(paths: LabPaths) -> Path:
    return paths.home / ".local/state"


def _configuration(paths: LabPaths) -> Path:
    return paths.home / ".terraformrc"
