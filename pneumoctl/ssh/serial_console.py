"""Parse an instance's serial console: the host key and the boot mark that the stack's user data writes there."""

import base64
import binascii
import re

# Escape sequences that set colours, move the cursor or name the window, and all other control characters.
_NOISE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x09\x0b-\x1f\x7f]")
_BOOT = re.compile(r"Linux version \d|Welcome to (?:Debian|Ubuntu)")
_ANNOUNCED = "pneumoctl-host-key:"
_MARK = re.compile(r"pneumoctl-boot: *(ok|failed line .*)")
_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"\b(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) ([A-Za-z0-9+/]+={0,2})(?![A-Za-z0-9+/=])")
_CODED = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def lines(console: str) -> list[str]:
    """The lines of the console, without control characters."""
    return [_NOISE.sub("", line).rstrip() for line in console.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def host_key(console: str) -> str | None:
    """The last announced host key ("type base64"): from pneumoctl's own line, else from cloud-init's block."""
    output = lines(console)
    for number in reversed(range(len(output))):
        if _ANNOUNCED in output[number] and (key := _key(output[number].split(_ANNOUNCED)[-1], output[number + 1 :])):
            return key
    blocks = _BLOCK.findall("\n".join(output))
    keys = dict(_KEY.findall(blocks[-1])) if blocks else {}
    complete = {kind: coded for kind, coded in keys.items() if _is_complete(kind, coded)}
    kind = next((kind for kind in ("ssh-ed25519", *complete) if kind in complete), None)
    return f"{kind} {complete[kind]}" if kind else None


def boot_mark(console: str) -> str | None:
    """The result of the last boot, `ok` or `failed line N: ...`; None if there is none yet."""
    output = lines(console)
    starts = [number for number, line in enumerate(output) if begins(line)]
    marks = [match[1].strip() for line in output[starts[-1] if starts else 0 :] if (match := _MARK.search(line))]
    return marks[-1] if marks else None


def announced(console: str) -> bool:
    """Whether the boot script has announced the key. cloud-init writes keys, too, also if that script never ran."""
    return any(_ANNOUNCED in line for line in lines(console))


def begins(line: str) -> bool:
    """Whether this line is from the beginning of a boot."""
    return bool(_BOOT.search(line)) or _ANNOUNCED in line


def _key(announced: str, following: list[str]) -> str | None:
    """A key that may continue on the following lines; continuations are base64, and the key must be complete."""
    kind, coded, *_ = (*announced.split(), "", "")
    for line in ("", *following[:8]):
        if line and not _CODED.fullmatch(line.strip()):
            return None
        coded += line.strip()
        if _is_complete(kind, coded):
            return f"{kind} {coded}"
    return None


def _is_complete(kind: str, coded: str) -> bool:
    """Whether the base64 is a complete key of that kind: fields after their lengths, the first being the kind."""
    try:
        blob = base64.b64decode(coded, validate=True)
    except binascii.Error:
        return False
    fields = []
    while blob:
        size = int.from_bytes(blob[:4])
        fields.append(blob[4 : 4 + size])
        if len(blob) < 4 + size or not size:
            return False
        blob = blob[4 + size :]
    return len(fields) == {"ssh-ed25519": 2}.get(kind, 3) and fields[0] == kind.encode()
