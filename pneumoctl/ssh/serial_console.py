"""Read an instance's serial console: the host key and the boot mark that our user data writes there."""

import base64
import binascii
import re

# Escape sequences that set colours, move the cursor or name the window, and all other control characters.
_NOISE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x09\x0b-\x1f\x7f]")
_BOOT = re.compile(r"Linux version \d|Welcome to (?:Debian|Ubuntu)")
_OURS = "pneumoctl-host-key:"
_MARK = re.compile(r"pneumoctl-boot: *(ok|failed line .*)")
_BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"\b(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) ([A-Za-z0-9+/]+={0,2})(?![A-Za-z0-9+/=])")
_CODED = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def lines(console: str) -> list[str]:
    """What the console says, a line each, free of control characters."""
    return [_NOISE.sub("", line).rstrip() for line in console.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def host_key(console: str) -> str | None:
    """The host key ("type base64") that the machine last announced: our own line, else cloud-init's block."""
    told = lines(console)
    for number in reversed(range(len(told))):
        if _OURS in told[number] and (key := _key(told[number].split(_OURS)[-1], told[number + 1 :])):
            return key
    blocks = _BLOCK.findall("\n".join(told))
    found = dict(_KEY.findall(blocks[-1])) if blocks else {}
    known = {kind: coded for kind, coded in found.items() if _sound(kind, coded)}
    kind = next((one for one in ("ssh-ed25519", *known) if one in known), None)
    return f"{kind} {known[kind]}" if kind else None


def boot_mark(console: str) -> str | None:
    """What the last boot said of itself, `ok` or `failed line N: ...`; None while it has said nothing."""
    told = lines(console)
    starts = [number for number, line in enumerate(told) if begins(line)]
    marks = [found[1].strip() for line in told[starts[-1] if starts else 0 :] if (found := _MARK.search(line))]
    return marks[-1] if marks else None


def begins(line: str) -> bool:
    """Whether a boot begins, or has just begun, with this line."""
    return bool(_BOOT.search(line)) or _OURS in line


def _key(told: str, following: list[str]) -> str | None:
    """A key that may be split over lines: a continuation is nothing but base64, and the whole must be a whole key."""
    kind, coded, *_ = (*told.split(), "", "")
    for line in ("", *following[:8]):
        if line and not _CODED.fullmatch(line.strip()):
            return None
        coded += line.strip()
        if _sound(kind, coded):
            return f"{kind} {coded}"
    return None


def _sound(kind: str, coded: str) -> bool:
    """Whether the base64 is a whole key of that kind: fields, each after its length, the first the kind's name."""
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
