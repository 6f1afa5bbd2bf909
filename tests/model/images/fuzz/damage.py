"""Damage to whole files as storage and transfer do it, and whether the stream that is left shows it."""

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.model.images.fuzz.corpus import SIDE, Whole

_END_OF_IMAGE = b"\xff\xd9"
_JPEGS = {"JPEG", "JPEG lossless", "JPEG-LS"}
_RUN = 300  # bytes: more than a run of RLE, which zeros may end


class Twin(NamedTuple):
    """A damaged file. `shown`: the stream shows the damage for certain, so that the file must be refused.

    `is_stream`: nothing but the stream was damaged, so that another decoder can be asked about it.
    """

    content: bytes
    kind: str
    shown: bool = False
    is_stream: bool = False


def damaged(whole: Whole, rng: random.Random, is_scored: bool) -> Twin:
    """The file with random damage. `is_scored`: the whole file is, so that its damage can be told."""
    if whole.codec and is_scored and rng.random() < 0.6:
        kind = rng.choice(list(_KINDS))
        return _KINDS[kind](whole, rng)._replace(kind=kind)
    if whole.start and rng.random() < 0.5:
        return Twin(noise(whole.content[: whole.start], rng) + whole.content[whole.start :], "noise in the header")
    return Twin(noise(whole.content, rng), "noise")


def noise(content: bytes, rng: random.Random) -> bytes:
    """The bytes with one to three faults, up to 512 bytes long each."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed))
        length = min(rng.choice([1, 2, 8, 64, 512]), len(changed) - at)
        match rng.randrange(5):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at : at + length] = bytes(length)
            case 2:
                changed[at : at + length] = rng.randbytes(length)
            case 3:
                del changed[at : at + length]
            case _:
                changed[at:at] = changed[at : at + length]
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def _cut_file(whole: Whole, rng: random.Random) -> Twin:
    at = rng.randrange(_end(whole))
    return Twin(whole.content[: whole.start + at], "", _is_measured(whole))


def _cut(whole: Whole, rng: random.Random) -> Twin:
    """Cut where the file's own lengths agree with what is left."""
    at = rng.randrange(_end(whole))
    return _twin(whole, whole.stream[:at], shown=_is_measured(whole))


def _cut_and_ended(whole: Whole, rng: random.Random) -> Twin:
    at = rng.randrange(_end(whole))
    is_long = at < _end(whole) - 3  # else the end that is put there may be that of the whole stream, or of its run
    return _twin(whole, whole.stream[:at] + _END_OF_IMAGE, shown=_is_measured(whole) and is_long)


def _zero_tail(whole: Whole, rng: random.Random) -> Twin:
    at = rng.randrange(_end(whole))
    tail = len(whole.stream) - at
    shown = _is_measured(whole)
    if whole.codec == "RLE":
        shown = tail > _RUN
    elif whole.codec == "native":  # it begins within a row, which no border does
        values = at // (len(whole.stream) // SIDE**2)
        shown = 2 * SIDE < values < SIDE**2 - 2 * SIDE and 1 < values % SIDE < SIDE // 2
    return _twin(whole, whole.stream[:at] + bytes(tail), shown)


def _false_end(whole: Whole, rng: random.Random) -> Twin:
    """An end marker amid the coded data; in JPEG 2000, whose parts have lengths, no decoder looks for one."""
    first, last = _data(whole), _end(whole) - 6
    at = rng.randrange(first, last) if first < last else 0
    changed = whole.stream[:at] + _END_OF_IMAGE + whole.stream[at + 2 :]
    return _twin(whole, changed, shown=whole.codec in _JPEGS and _is_measured(whole) and at > 0)


def _zeros(whole: Whole, rng: random.Random) -> Twin:
    """A lost block. Huffman codes, arithmetic codes and plain values may be zeros."""
    at = rng.randrange(_end(whole))
    length = min(rng.choice([8, 64, 512, 4096]), len(whole.stream) - at)
    changed = whole.stream[:at] + bytes(length) + whole.stream[at + length :]
    return _twin(whole, changed, shown=whole.codec == "PNG" and _data(whole) <= at < _end(whole) - 12)


def _bits(whole: Whole, rng: random.Random) -> Twin:
    stream = bytearray(whole.stream)
    at = rng.randrange(_end(whole))
    stream[at] ^= 1 << rng.randrange(8)
    return _twin(whole, bytes(stream), shown=whole.codec == "PNG" and _data(whole) <= at < _end(whole) - 12)


def _noise(whole: Whole, rng: random.Random) -> Twin:
    return _twin(whole, noise(whole.stream, rng), shown=False)


_KINDS: dict[str, Callable[[Whole, random.Random], Twin]] = {
    "file cut": _cut_file,
    "stream cut": _cut,
    "stream cut and ended": _cut_and_ended,
    "stream with a zero tail": _zero_tail,
    "stream with a false end": _false_end,
    "stream with zeros": _zeros,
    "stream with a flipped bit": _bits,
    "stream with noise": _noise,
}


def _twin(whole: Whole, stream: bytes, shown: bool) -> Twin:
    return Twin(whole.holding(stream), "", shown and stream != whole.stream, is_stream=True)


def _end(whole: Whole) -> int:
    """The position in the stream after its last byte that is no padding."""
    if whole.codec in _JPEGS | {"JPEG 2000"}:
        return whole.stream.rfind(_END_OF_IMAGE) + 2 or len(whole.stream)
    return len(whole.stream) - (whole.codec == "RLE")


def _data(whole: Whole) -> int:
    """The position in the stream where its last coded data begins."""
    stream = whole.stream
    if whole.codec in _JPEGS:
        at = stream.rfind(b"\xff\xda") + 2
        return at + int.from_bytes(stream[at : at + 2], "big")
    return max(0, stream.find({"JPEG 2000": b"\xff\x93", "PNG": b"IDAT"}.get(whole.codec, b"")))


def _is_measured(whole: Whole) -> bool:
    """Whether the stream has a length or one end, by which one can tell that it is shorter."""
    if whole.codec in _JPEGS | {"JPEG 2000"}:
        return whole.stream.count(_END_OF_IMAGE) == 1
    return True
