"""The health gate of a stack on this machine, as a program: its output is the stored prediction."""

import json
import sys
from pathlib import Path

from model import bundle
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.targets.common.health import NoAnswer, WebEndpoint, gate


def main(argv: list[str]) -> int:
    """`python -m pneumoctl.targets.local.gate UI_URL BUNDLE`."""
    url, directory = argv
    try:
        manifest = bundle.load(Path(directory), deep=True).manifest
        sys.stdout.write(json.dumps(gate(WebEndpoint(url), manifest)) + "\n")
    except bundle.BundleError as error:
        sys.stderr.write(f"the model that serves: {error}\n")
        return Exit.GATE_FAILED
    except NoAnswer as error:  # there is no network on the way: the page is at fault
        sys.stderr.write(f"health gate: {error.message}\n")
        return Exit.GATE_FAILED
    except PneumoError as error:
        sys.stderr.write(error.message + "\n")
        return error.code
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
