"""Erase results from the store: `python -m webapp.api.erase`, with the API's environment.

stdin: a line of JSON: their `ids`, the password of the `rewriter` of Redis, and the `actor`, who erases; none of them
stands in a command line. Redis
is then made to write its file anew, which held them. stdout: JSON, each id in one of the lists
`erased`, `before` (erased earlier), `unknown` (there is none, or it has expired) and `failed` (from the first at which
the store failed: that one may be erased, the others are not); `still_in_file`: why the file of Redis may
still hold what was erased, or null. stderr: the reason of a failure.
With --study, nothing is erased or read from stdin, and stdout has the `ids` of the study's results, and how many
`damaged` records may belong to it.
With --list, nothing is erased, and `before` has all that was erased earlier and is not stored.
"""

import argparse
import json
import sys
from typing import Any

from webapp.api.settings import StoreSettings
from webapp.api.storage.erasure import Outcome
from webapp.api.storage.errors import Damaged, Missing, NoTrail, StoreUnavailable
from webapp.api.storage.rewriting import rewrite
from webapp.api.storage.store import Store
from webapp.api.storage.trail import Act
from webapp.environment import Environment, EnvironmentInvalid

PARTLY = 6  # exit code: some ids are erased, and then the store failed
_WAIT_S = 30.0  # for a Redis that loads its file
_REWRITE_S = 120.0  # for its file


def main(argv: list[str] | None = None) -> int:
    """Erase, or list; returns 0, or PARTLY or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m webapp.api.erase", description=__doc__)
    parser.add_argument("--list", action="store_true", help="only list what was erased")
    parser.add_argument("--study", help="only list the results of the study with this pseudonym")
    arguments = parser.parse_args(argv)
    outcomes: dict[str, Any] = {"erased": [], "before": [], "unknown": [], "failed": [], "still_in_file": None}
    order: dict[str, Any] = {"ids": []}
    try:
        environment = Environment()
        settings = StoreSettings.read(environment)
        environment.check()
        store = Store.open(settings)
        store.wait(_WAIT_S)
        if arguments.study is not None:
            sys.stdout.write(json.dumps(_films(store, arguments.study)) + "\n")
            return 0
        if arguments.list:
            outcomes["before"] = sorted(set(store.eraser.erased()).difference(store.ids()))
        else:
            order = json.loads(sys.stdin.buffer.readline())
        while wanted := order["ids"]:
            outcomes[_erase(store, wanted[0], order.get("actor", "unknown"))].append(wanted.pop(0))
        if not arguments.list and (outcomes["erased"] or outcomes["before"]):
            outcomes["still_in_file"] = _rewrite(settings, order["rewriter"])
    except (EnvironmentInvalid, StoreUnavailable) as error:
        sys.stderr.write(f"erasing failed: {error}\n")
        outcomes["failed"], outcomes["still_in_file"] = order["ids"], "the store failed"
        sys.stdout.write(json.dumps(outcomes) + "\n")
        return PARTLY if outcomes["erased"] else 1
    sys.stdout.write(json.dumps(outcomes) + "\n")
    return 0


def _films(store: Store, study: str) -> dict[str, Any]:
    """The ids of a study's results, sorted, and how many records cannot be read."""
    ids, damaged = [], 0
    for identifier in store.ids():
        try:
            source = store.get(identifier).source
        except Missing:  # erased meanwhile, or expired
            continue
        except Damaged:
            damaged += 1
            continue
        if source is not None and source["study"] == study:
            ids.append(identifier)
    return {"ids": sorted(ids), "damaged": damaged}


def _erase(store: Store, identifier: str, actor: str) -> Outcome:
    """Erase a result and record it; in a stack of an earlier version, which has no trail, only erase it."""
    try:
        return store.eraser.erase(identifier, Act("erase", actor, "operator", "", "none", identifier))
    except NoTrail:
        return store.eraser.erase(identifier)


def _rewrite(settings: StoreSettings, password: str) -> str | None:
    """Have Redis write its file anew; why that failed, None if it did not."""
    try:
        rewrite(settings, password, _REWRITE_S)
    except StoreUnavailable as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
