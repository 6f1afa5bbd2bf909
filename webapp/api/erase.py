"""Erase results from the store: `python -m webapp.api.erase`, with the API's environment.

stdin: a line of JSON, the list of their ids, which stand in no command line. stdout: JSON, each id in one of the lists
`erased`, `before` (erased earlier) and `unknown` (there is none, or it has expired). stderr: the reason of a failure.
"""

import json
import sys

from webapp.api.settings import StoreSettings
from webapp.api.storage.errors import StoreUnavailable
from webapp.api.storage.store import Store
from webapp.environment import Environment, EnvironmentInvalid

_WAIT_S = 30.0  # for a Redis that loads its file


def main() -> int:
    """Erase; returns 0, or 1 with the reason on stderr."""
    outcomes: dict[str, list[str]] = {"erased": [], "before": [], "unknown": []}
    try:
        environment = Environment()
        settings = StoreSettings.read(environment)
        environment.check()
        store = Store.open(settings)
        store.wait(_WAIT_S)
        for identifier in json.loads(sys.stdin.buffer.readline()):
            outcomes[store.eraser.erase(identifier)].append(identifier)
    except (EnvironmentInvalid, StoreUnavailable) as error:
        done = f" after {len(outcomes['erased'])} results" if outcomes["erased"] else ""
        sys.stderr.write(f"erasing failed{done}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(outcomes) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
