"""A stack's secrets: generated, masked, rotated, and read from a file of an older pneumoctl."""

import itertools
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from pneumoctl.errors import PneumoError
from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Ports, Stack

OLD = {"redis_password": "a" * 64, "mac_key": "b" * 64, "api_token": "c" * 64}
PREVIOUS = (
    "api_token",
    "page_token",
    "receiver_token",
    "redis_password",
    "redis_train_password",
    "redis_exporter_password",
    "redis_rewriter_password",
)


def test_secrets_are_long_and_never_the_same() -> None:
    first, second = Secrets.generate(), Secrets.generate()
    assert len(set(first.values()) | set(second.values())) == 16
    assert [len(secret) for secret in first.values()] == [64] * 8
    assert not first.rotating


def test_a_file_of_three_secrets_gives_the_same_ones_at_every_reading(tmp_path: Path) -> None:
    stack = Stack("t", tmp_path)
    (tmp_path / "secrets.json").write_text(json.dumps(OLD))
    secrets = stack.secrets()
    assert secrets is not None and secrets == stack.secrets()
    assert OLD.items() <= asdict(secrets).items() and len(set(secrets.values())) == 8
    assert json.loads((tmp_path / "secrets.json").read_text()) == OLD  # a reader writes nothing
    stack.save(secrets, Ports({}, {}))
    saved = json.loads((tmp_path / "secrets.json").read_text())
    assert saved["page_token"] == secrets.page_token and stack.secrets() == secrets


def test_the_password_of_an_earlier_shared_login_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps({**OLD, "web_password": "typed by all"}))
    assert Stack("t", tmp_path).secrets() == Secrets(**OLD)


def test_what_is_derived_depends_on_each_secret() -> None:
    variants = [Secrets(**{**OLD, name: "d" * 64}) for name in OLD] + [Secrets(**OLD)]
    derived = {
        (variant.redis_train_password, variant.redis_exporter_password, variant.page_token) for variant in variants
    }
    assert len({each for three in derived for each in three}) == 12


@pytest.mark.parametrize(
    "wrong", [{"api_token": 5}, {"api_token": None}, {"api_token": ""}, {"mac_key": ""}, {"page_token": ["x"]},
              {"mac_keys_previous": "text"}, {"mac_keys_previous": [1]}],
)  # fmt: skip
def test_an_invalid_secret_is_damage(tmp_path: Path, wrong: dict[str, object]) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps({**OLD, **wrong}))
    with pytest.raises(PneumoError, match=r"secrets\.json is damaged"):
        Stack("t", tmp_path).secrets()


def test_a_rotation_keeps_what_it_replaces_until_it_is_settled() -> None:
    secrets = Secrets.generate()
    new = secrets.start_rotation()
    assert new.rotating and not secrets.rotating
    assert not set(secrets.values()) & {getattr(new, name) for name in (*PREVIOUS, "mac_key_next")}
    assert all(getattr(new, f"{name}_previous") == getattr(secrets, name) for name in PREVIOUS)
    assert new.mac_key == secrets.mac_key and new.mac_keys_accepted == (new.mac_key_next,)
    assert len(set(new.values())) == 16 and set(secrets.values()) < set(new.values())
    assert new.start_rotation() is new  # cut off and begun again: what the hosts hold is not forgotten
    end = new.finish_rotation()
    assert not end.rotating and end.mac_keys_accepted == (secrets.mac_key,) and "" not in end.values()
    assert end.mac_key == new.mac_key_next and end.finish_rotation() == end
    assert all(getattr(end, name) == getattr(new, name) for name in PREVIOUS)


def test_the_end_of_a_rotation_that_an_older_pneumoctl_began_keeps_its_mac_key() -> None:
    began = Secrets(**OLD, api_token_previous="x" * 64, mac_keys_previous=("y" * 64,))
    assert began.start_rotation() is began
    assert (began.finish_rotation().mac_key, began.finish_rotation().mac_keys_accepted) == (OLD["mac_key"], ("y" * 64,))


class Fleet:
    """The operator's file, Redis, and three API hosts that restart one after another."""

    def __init__(self) -> None:
        self.saved = self.redis = Secrets(**OLD)
        self.hosts = [self.saved] * 3
        self.sealed = {self.saved.mac_key}

    def rotate(self) -> Iterator[None]:
        """As the command does; it may be killed at every yield."""
        for replaced in (Secrets.start_rotation, Secrets.finish_rotation):
            self.saved = replaced(self.saved)
            yield
            self.redis = self.saved
            yield
            for number in range(len(self.hosts)):
                self.hosts[number] = self.saved
                self.sealed.add(self.saved.mac_key)
                yield

    def agree(self) -> bool:
        """Every host can open what any host has sealed, and can log in to Redis."""
        return all(
            self.sealed <= {host.mac_key, *host.mac_keys_accepted}
            and host.redis_password in (self.redis.redis_password, self.redis.redis_password_previous)
            for host in self.hosts
        )


def test_hosts_agree_on_secrets_after_a_rotation_interrupted_at_any_point() -> None:
    for cuts in itertools.product(range(11), repeat=3):
        fleet = Fleet()
        for cut in (*cuts, None):
            for _ in itertools.islice(fleet.rotate(), cut):
                assert fleet.agree(), cuts
        assert fleet.hosts == [fleet.saved] * 3 and not fleet.saved.rotating
        assert fleet.saved.mac_key != OLD["mac_key"]


def test_any_sequence_of_rotations_keeps_every_mac_key(tmp_path: Path) -> None:
    stack, current, keys = Stack("t", tmp_path), Secrets(**OLD), [OLD["mac_key"]]
    for _ in range(60):
        current = secrets.choice((current.start_rotation, current.finish_rotation))()
        if current.mac_key != keys[0]:
            keys.insert(0, current.mac_key)
        assert [current.mac_key, *current.mac_keys_previous] == keys
        opened = {*current.mac_keys_accepted}
        assert opened == {current.mac_key_next, *current.mac_keys_previous} - {""}
        assert "" not in current.values() and {current.mac_key, current.api_token, *opened} <= set(current.values())
        stack.save(current, Ports({}, {}))
        assert stack.secrets() == current
    assert len(keys) > 5
