"""What SshTransport runs on a host: small shell programs as root, and trees packed for the way there and back."""

import os
import shlex
import stat
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO

# A reader or a crash sees the old thing or the new one, never a half; what a killed writer left is swept by the next.
_BESIDE = """set -eu
umask 022
path=$1 dir=$(dirname -- "$1") name=$(basename -- "$1")
mkdir -p -- "$dir"
find "$dir" -maxdepth 1 -name ".$2.??????" -exec rm -rf -- {} +
"""
# The contents come on stdin, and only all of them count: a cut link is an end of file, too.
_PUT = """fresh=$(mktemp -- "$dir/.$name.XXXXXX")
trap 'rm -f -- "$fresh"' EXIT
cat >"$fresh"
test "$(sha256sum <"$fresh")" = "$3  -" || { echo "the contents did not arrive whole" >&2; exit 1; }
chmod -- "$4" "$fresh"
sync -- "$fresh"
mv -fT -- "$fresh" "$path"
sync -- "$dir"
"""
_COPY = """fresh=$(mktemp -d -- "$dir/.$name.XXXXXX")
trap 'rm -rf -- "$fresh"' EXIT
mkdir -- "$fresh/tree"
tar -xzf - -C "$fresh/tree" --no-same-owner --same-permissions
sync -f -- "$fresh"
if test -e "$path" || test -L "$path"; then mv -T -- "$path" "$fresh/old"; fi
mv -T -- "$fresh/tree" "$path"
sync -- "$dir"
"""
_LINK = """set -eu
rm -f -- "$1.new"
ln -s -- "$2" "$1.new"
mv -fT -- "$1.new" "$1"
"""
_READ = 'test -e "$1" || exit 66; cat -- "$1"'
ABSENT = 66  # how _READ says that there is no file
_FETCH = 'tar -czf - --hard-dereference -C "$1" .'
# Secrets come on stdin, as shell assignments: an argv is for everybody to read.
_WITH_ENV = 'set -a; eval "$(cat)"; set +a; exec "$@" </dev/null'


def as_root(argv: Sequence[str], timeout: float) -> str:
    """The line for the host's shell that runs a command as root, and ends it there when its time is up."""
    return shlex.join(("sudo", "-n", "--", "timeout", "-k", "5", f"{timeout:g}", *argv))


def with_env(argv: Sequence[str], env: Mapping[str, str]) -> tuple[tuple[str, ...], bytes]:
    """A command that reads its environment from stdin, and what to send there."""
    if not env:
        return tuple(argv), b""
    assignments = "\n".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
    return ("sh", "-c", _WITH_ENV, "sh", *argv), assignments.encode(errors="surrogateescape")


def putting(path: str, sha256: str, mode: int) -> tuple[str, ...]:
    """Write stdin to a file beside its place, then rename, if it has this digest."""
    return ("sh", "-c", _BESIDE + _PUT, "sh", path, _literal(path), sha256, f"{mode:o}")


def copying(path: str) -> tuple[str, ...]:
    """Unpack stdin to a tree beside its place, then rename; an older tree is replaced."""
    return ("sh", "-c", _BESIDE + _COPY, "sh", path, _literal(path))


def linking(path: str, target: str) -> tuple[str, ...]:
    """Make or swap a symbolic link."""
    return ("sh", "-c", _LINK, "sh", path, target)


def reading(path: str) -> tuple[str, ...]:
    """A file to stdout; exit ABSENT if there is none."""
    return ("sh", "-c", _READ, "sh", path)


def fetching(source: str) -> tuple[str, ...]:
    """A packed tree to stdout."""
    return ("sh", "-c", _FETCH, "sh", source)


def pack(source: str, exclude: Sequence[str], to: IO[bytes]) -> None:
    """Pack a tree, for its host to own: root's files, which every service's user may read."""

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.name != "." and any(fnmatch(Path(member.name).name, one) for one in exclude):
            return None
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            return None  # a pipe or a device has no contents to copy
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o755 if member.isdir() or member.mode & stat.S_IXUSR else 0o644
        return member

    # GNU's format keeps the bytes of a name whatever the host's locale is.
    with tarfile.open(fileobj=to, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=1) as packed:
        packed.add(source, arcname=".", filter=kept)


def unpack(packed: IO[bytes], path: Path) -> None:
    """Unpack a tree that a host sent. OSError if it is damaged, or if anything in it lands or points outside."""
    try:
        with tarfile.open(fileobj=packed, mode="r:gz", errorlevel=2) as tree:
            # Debian 12's Python has no filter for this; `_inside` refuses more than that does.
            tree.extraction_filter = getattr(tarfile, "data_filter", None)
            members = [_inside(member) for member in tree.getmembers()]
            members.sort(key=tarfile.TarInfo.issym)  # last, so that nothing is written through one
            tree.extractall(path, members)  # noqa: S202, each was looked at
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise OSError(f"the tree from the host cannot be unpacked: {error}") from error


def _inside(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member as the operator's own, if it is a file, a folder, or a link within the tree."""
    places = [PurePosixPath(member.name), PurePosixPath(member.linkname)]
    strays = any(one.is_absolute() or ".." in one.parts for one in places)
    if strays or not (member.isreg() or member.isdir() or member.issym()):
        raise OSError(f"the tree from the host holds {member.name!r}, which is no file or points outside")
    member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    return member


def _literal(path: str) -> str:
    """The last name of a path as a pattern that matches only itself."""
    return "".join(f"\\{sign}" if sign in "*?[\\" else sign for sign in os.path.basename(path))  # noqa: PTH119
