"""The step that drops a host's old releases: what the plan itself brings counts, so the next one finds nothing."""

from collections.abc import Mapping

from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan.steps import Run, Step

KEPT = 5  # releases of a kind


def drop(host: str, wanted: Mapping[str, str], root: str = ROOT) -> Step:
    """`wanted`: kind -> the release that is to serve. That, what served before it and the newest ones stay.

    The environments that no release needs any more go, too.
    """
    words = tuple(word for kind, release in wanted.items() for word in (kind, release))
    probe = Run(("sh", "-c", _OLD + _NONE, "sh", "-t", root, str(KEPT), *words))
    drop = Run(
        ("sh", "-c", _OLD + _DROP, "sh", "-1t", root, str(KEPT), *words), title=f"keep {KEPT} releases of each kind"
    )
    return Step(f"Drop old releases on {host}", (host,), (drop,), (probe,))


# A release that is still to come will be the newest, and what serves now will be what served before.
_OLD = """set -eu
order=$1 root=$2 kept=$3; shift 3
old() {
  cd "$root/$1/releases" 2>/dev/null || return 0
  before=$(basename "$(readlink ../current || true)")
  test "$before" != "$2" || before=$(basename "$(readlink ../previous || true)")
  newest=$kept; test -e "$2" || newest=$((kept - 1))
  ls "$order" | tail -n "+$((newest + 1))" | grep -vxF -e "$2" -e "$before" || true
}
"""
_NONE = 'while test $# -gt 0; do test -z "$(old "$1" "$2")" || exit 1; shift 2; done'
_DROP = """while test $# -gt 0; do
  old "$1" "$2" | while read -r one; do rm -rf -- "$root/$1/releases/$one"; done
  shift 2
done
for venv in "$root"/venvs/*; do
  readlink "$root"/*/releases/*/venv | grep -qxF "$venv" || rm -rf -- "$venv"
done
"""
