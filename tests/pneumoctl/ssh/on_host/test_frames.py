"""Frames: found in any division of the stream, and no damage to one is taken for its contents."""

import pytest

from pneumoctl.ssh.on_host.frames import ANSWER, ASK, EVENT, Damaged, Reader, frame

SENT = [(EVENT, 7, b'{"event": "waiting"}'), (ANSWER, 7, bytes(range(256)) * 20), (ASK, 8, b"")]
STREAM = b"".join(frame(*one) for one in SENT)


@pytest.mark.parametrize("size", [1, 3, 64, len(STREAM)])
def test_frames_are_found_however_they_arrive(size: int) -> None:
    reader = Reader()
    parts = [STREAM[begin : begin + size] for begin in range(0, len(STREAM), size)]
    assert [one for part in parts for one in reader.feed(part)] == SENT


def test_no_changed_byte_passes() -> None:
    stream = frame(ANSWER, 7, b"pneumonia: no") + frame(ANSWER, 8, b"yes")
    first = len(frame(ANSWER, 7, b"pneumonia: no"))
    for at in range(first):
        changed = stream[:at] + bytes([stream[at] ^ 1]) + stream[at + 1 :]
        try:
            found = list(Reader().feed(changed))
        except Damaged:
            continue
        assert (ANSWER, 7, b"pneumonia: no") not in found and found == []


def test_a_lost_or_added_byte_is_damage() -> None:
    for stream in (STREAM[:30] + STREAM[31:], STREAM[:30] + b"x" + STREAM[30:], b"a message\n" + STREAM):
        with pytest.raises(Damaged):
            list(Reader().feed(stream))


def test_a_frame_that_was_cut_short_is_not_handed_out() -> None:
    assert list(Reader().feed(frame(ANSWER, 1, b"half an answer")[:-1])) == []
