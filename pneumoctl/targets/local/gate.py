"""The health gate of a stack on this machine, as a program: its output is the stored prediction."""

import json
import sys
from pathlib import Path

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.common.health import WebEndpoint, gate


def main(argv: list[str]) -> int:
    """`python -m pneumoctl.targets.local.gate UI_URL BUNDLE`."""
    url, bundle = argv
    try:
        sys.stdout.write(json.dumps(gate(WebEndpoint(url), Path(bundle))) + "\n")
    except PneumoError as error:
        sys.stderr.write(error.message + "\n")
        return error.code
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
