"""Copy trained models to the stack's bucket and back."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from pneumoctl import files as pneumoctl_files
from pneumoctl.aws import s3
from pneumoctl.aws import s3 as buckets
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.registry.store import _ID, MANIFEST, Registered, get, home, names, register

BUNDLES = "bundles/"  # in the stack's bucket


def upload(aws: Aws, bucket: str, model: Registered, advance: Callable[[int], None] = lambda _: None) -> int:
    """Bring a model to the stack's bucket, bundle.json last; returns how many files were missing there."""
    below = f"{BUNDLES}{model.id}/"
    there = s3.listed(aws, bucket, below)
    hashes = {**model.manifest["files"], MANIFEST: pneumoctl_files.sha256(model.directory / MANIFEST)}
    files = [
        s3.Upload(below + name, path, digest, path.stat().st_size)
        for name, digest in hashes.items()
        if (path := model.directory / name)
    ]
    missing = [one for one in files if there.get(one.key) != one.size]
    last = [one for one in missing if one.path.name == MANIFEST]
    try:
        s3.put(aws, bucket, [one for one in missing if one not in last], advance)
        s3.put(aws, bucket, last, advance)
    except s3.Changed as error:
        raise PneumoError(f"{model.directory} changed while it was read", f"pneumoctl model show {model.id}") from error
    return len(missing)


def pull(aws: Aws, bucket: str, name: str, advance: Callable[[int], None] = lambda _: None) -> Registered:
    """Keep here a model of the stack's bucket."""
    if name in names():
        return get(name)
    below = f"{BUNDLES}{name}/"
    wanted = buckets.objects(aws, bucket, (below,)) if _ID.fullmatch(name) else []
    if not wanted:
        known = {key.removeprefix(BUNDLES).partition("/")[0] for key in s3.listed(aws, bucket, BUNDLES)}
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise PneumoError(f"there is no model {name} in the bucket {bucket}: {has}", "pneumoctl model ls", Exit.USAGE)
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home(), prefix=f".{name}.") as beside:
        buckets.download(aws, bucket, wanted, Path(beside), advance, below)
        found = register(Path(beside), f"s3://{bucket}/{below}")
    if found.id != name:
        raise PneumoError(f"s3://{bucket}/{below} holds {found.id}", f"pneumoctl model show {found.id}")
    return found
