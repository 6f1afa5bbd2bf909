"""Copy trained models to the stack's bucket and back."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from pneumoctl.aws import s3
from pneumoctl.aws.ec2 import Aws
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.files import sha256
from pneumoctl.registry.store import ID, MANIFEST, Registered, get, home, names, register
from pneumoctl.stack import ownership

BUNDLES = "bundles/"  # in the stack's bucket


def upload(aws: Aws, bucket: str, model: Registered, advance: Callable[[int], None] = lambda _: None) -> int:
    """Upload a model to the stack's bucket, bundle.json last; returns how many files were missing there."""
    prefix = f"{BUNDLES}{model.id}/"
    sizes = s3.listed(aws, bucket, prefix)
    hashes = {**model.manifest["files"], MANIFEST: sha256(model.directory / MANIFEST)}
    files = [
        s3.Upload(prefix + name, path, digest, path.stat().st_size)
        for name, digest in hashes.items()
        if (path := model.directory / name)
    ]
    missing = [file for file in files if sizes.get(file.key) != file.size]
    last = [file for file in missing if file.path.name == MANIFEST]
    try:
        s3.put(aws, bucket, [file for file in missing if file not in last], advance)
        s3.put(aws, bucket, last, advance)
    except s3.Changed as error:
        raise PneumoError(f"{model.directory} changed while it was read", f"pneumoctl model show {model.id}") from error
    return len(missing)


def pull(aws: Aws, bucket: str, name: str, advance: Callable[[int], None] = lambda _: None) -> Registered:
    """Download a model from the stack's bucket into the registry."""
    if name in names():
        return get(name)
    prefix = f"{BUNDLES}{name}/"
    wanted = s3.objects(aws, bucket, (prefix,)) if ID.fullmatch(name) else []
    if not wanted:
        models = {key.removeprefix(BUNDLES).partition("/")[0] for key in s3.listed(aws, bucket, BUNDLES)}
        has = f"it has {', '.join(sorted(models))}" if models else "it has none"
        raise PneumoError(f"there is no model {name} in the bucket {bucket}: {has}", "pneumoctl model ls", Exit.USAGE)
    ownership.require_writable(home())
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home(), prefix=f".{name}.") as beside:
        s3.download(aws, bucket, wanted, Path(beside), advance, prefix)
        model = register(Path(beside), f"s3://{bucket}/{prefix}")
    if model.id != name:
        raise PneumoError(f"s3://{bucket}/{prefix} contains {model.id}", f"pneumoctl model show {model.id}")
    return model
