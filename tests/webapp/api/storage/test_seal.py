"""The seal opens only content that was sealed under the same key."""

import pytest

from webapp.api.storage.seal import Seal, SealBroken, key_id, serialize

CONTENT = serialize({"probability": 0.825, "file": "ä.png"})


def test_sealed_content_can_be_opened():
    seal = Seal(b"k" * 32)
    assert seal.open("record:1", seal.close("record:1", CONTENT)) == CONTENT


def test_every_flipped_bit_is_detected():
    seal = Seal(b"k" * 32)
    sealed = seal.close("record:1", CONTENT)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SealBroken):
            seal.open("record:1", bytes(damaged))


@pytest.mark.parametrize("sealed", [b"", b"0" * 63, b"0" * 64, b"\xff" * 200])
def test_unsealed_content_is_rejected(sealed):
    with pytest.raises(SealBroken):
        Seal(b"k" * 32).open("record:1", sealed)


def test_another_key_name_or_secret_is_rejected():
    sealed = Seal(b"k" * 32).close("record:1", CONTENT)
    with pytest.raises(SealBroken):
        Seal(b"k" * 32).open("record:2", sealed)
    with pytest.raises(SealBroken):
        Seal(b"l" * 32).open("record:1", sealed)


def test_the_boundary_of_key_name_and_content_is_sealed():
    seal = Seal(b"k" * 32)
    mac = seal.close("a", b"bc")[:64]
    with pytest.raises(SealBroken):
        seal.open("ab", mac + b"c")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_and_infinity_are_not_serialized(number):
    with pytest.raises(ValueError, match="JSON"):
        serialize({"probability": number})


def test_previous_keys_open_and_the_new_key_seals():
    old, older, new = b"o" * 32, b"p" * 32, b"n" * 32
    seal = Seal(new, [old, older])
    for key in (old, older, new):
        assert seal.open("record:1", Seal(key).close("record:1", CONTENT)) == CONTENT
    assert Seal(new).open("record:1", seal.close("record:1", CONTENT)) == CONTENT
    with pytest.raises(SealBroken):
        Seal(old).open("record:1", seal.close("record:1", CONTENT))
    with pytest.raises(SealBroken):
        seal.open("record:1", Seal(b"s" * 32).close("record:1", CONTENT))


def test_a_derived_secret_depends_on_its_label_and_its_key():
    old, new = Seal(b"k" * 32), Seal(b"n" * 32, [b"k" * 32])
    key, secret = old.derived("totp:alice")
    assert (len(secret), key) == (20, key_id(b"k" * 32))
    assert new.derived("totp:alice", key) == (key, secret)
    assert new.derived("totp:alice")[1] != secret != old.derived("totp:bob")[1]
    with pytest.raises(SealBroken):
        old.derived("totp:alice", new.derived("totp:alice")[0])
