"""The step that removes a host's old releases, counting the one that the same plan brings."""

from collections.abc import Mapping

from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan.steps import Probe, Run, Step

KEPT = 5  # releases of each kind


def remove(host: str, desired: Mapping[str, str], root: str = ROOT) -> Step:
    """Keep the `desired` release of each kind, the one before it, and the newest KEPT; remove the others.

    Environments that no remaining release uses are removed, too.
    """
    words = tuple(word for kind, release in desired.items() for word in (kind, release))
    probe = Probe(("sh", "-c", _OLD + _NONE, "sh", "-t", root, str(KEPT), *words))
    removal = Run(
        ("sh", "-c", _OLD + _REMOVE, "sh", "-1t", root, str(KEPT), *words), title=f"keep {KEPT} releases of each kind"
    )
    return Step(f"Remove old releases on {host}", (host,), (removal,), (probe,))


# The desired release counts as the newest one, wherever it is: bringing it makes it that. The current one will then be
# the previous one.
_OLD = """set -eu
order=$1 root=$2 kept=$3; shift 3
old() {
  cd "$root/$1/releases" 2>/dev/null || return 0
  before=$(basename "$(readlink ../current || true)")
  test "$before" != "$2" || before=$(basename "$(readlink ../previous || true)")
  ls "$order" | grep -vxF -e "$2" | tail -n "+$kept" | grep -vxF -e "$before" || true
}
"""
_NONE = 'while test $# -gt 0; do test -z "$(old "$1" "$2")" || exit 1; shift 2; done'
_REMOVE = """while test $# -gt 0; do
  old "$1" "$2" | while read -r one; do rm -rf -- "$root/$1/releases/$one"; done
  shift 2
done
for venv in "$root"/venvs/*; do
  readlink "$root"/*/releases/*/venv | grep -qxF "$venv" || rm -rf -- "$venv"
done
"""
