"""The health gate of a stack on this machine, as a program: its output is the stored prediction."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model import bundle
from pneumoctl.accounts import proof_session
from pneumoctl.accounts.client import Accounts
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring.api_client import ApiClient, Refused
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.common.health import NoAnswer, WebEndpoint, gate, require_login
from pneumoctl.targets.local import api


@contextmanager
def _session(directory: str = "") -> Iterator[str]:
    """The token of a session of the page; empty without the directory of a stack with users."""
    if not directory:
        yield ""
        return
    with proof_session.opened(Accounts(ApiClient.of(api.endpoint(Stack("", Path(directory)))))) as token:
        yield token


def main(argv: list[str]) -> int:
    """`python -m pneumoctl.targets.local.gate UI_URL BUNDLE [STACK]`; STACK: directory of a stack with users."""
    url, directory, *stacks = argv
    try:
        manifest = bundle.load(Path(directory), deep=True).manifest
        if stacks:
            require_login(WebEndpoint(url))
        with _session(*stacks) as session:
            sys.stdout.write(json.dumps(gate(WebEndpoint(url, session=session), manifest)) + "\n")
    except bundle.BundleError as error:
        sys.stderr.write(f"the model that serves: {error}\n")
        return Exit.GATE_FAILED
    except Refused as error:
        sys.stderr.write(f"health gate: nobody can log in: {error.message}\n")
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
