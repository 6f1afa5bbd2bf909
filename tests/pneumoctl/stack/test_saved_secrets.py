"""The secrets of a local stack are derived from its services, at each point of a rotation."""

from pathlib import Path

import pytest

from pneumoctl.stack.saved import Ports
from pneumoctl.stack.secrets import Secrets, from_environments
from pneumoctl.stack.stack import Stack


@pytest.mark.parametrize("content", [None, b"", b'{"redis_password": '])
def test_the_secrets_and_ports_of_a_local_stack_are_derived_from_its_services(
    tmp_path: Path, content: bytes | None
) -> None:
    files = {
        "env/api.env": "REDIS_PORT=6380\nREDIS_PASSWORD=r\nMAC_KEY=m\nMAC_KEYS_PREVIOUS=k,l\nAPI_TOKEN=t\n"
        "API_TOKEN_PREVIOUS=\n# a comment\n",
        "env/ui.env": "API_URL=http://127.0.0.1:5001\nAPI_TOKEN=t\n",
        "supervisor/supervisord.conf": "[program:api]\ncommand=g --bind=127.0.0.1:5001\n\n[program:ui]\n"
        "command=g --bind=127.0.0.1:8081\n",
    }
    local = Stack("t", tmp_path / "t")
    for name, text in files.items():
        (local.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (local.directory / name).write_text(text)
    for name in ("secrets.json", "ports.json"):
        if content is not None:
            (local.directory / name).write_bytes(content)
    ports = {"redis": 6380, "api": 5001, "ui": 8081}
    assert (local.ports(), local.target) == (Ports(ports, ports), "local")
    secrets = local.secrets()
    assert secrets and (secrets.redis_password, secrets.mac_key, secrets.api_token) == ("r", "m", "t")
    assert secrets.mac_keys_accepted == ("k", "l") and not secrets.rotating


def environment(secrets: Secrets) -> str:
    lines = {
        "REDIS_PASSWORD": secrets.redis_password,
        "MAC_KEY": secrets.mac_key,
        "MAC_KEYS_PREVIOUS": ",".join(secrets.mac_keys_accepted),
        "API_TOKEN": secrets.api_token,
        "API_TOKEN_PREVIOUS": secrets.api_token_previous,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def test_secrets_are_read_back_at_each_point_of_a_rotation() -> None:
    before = Secrets.generate()
    during = before.start_rotation()
    after = during.finish_rotation()
    keys = {before.mac_key, after.mac_key}
    for one, other, leading in ((before, during, during), (during, during, during), (during, after, after)):
        for hosts in ((one, other), (other, one)):
            read = from_environments([environment(host) for host in hosts])
            assert (read.api_token, read.redis_password) == (leading.api_token, leading.redis_password)
            assert {read.mac_key, *read.mac_keys_accepted} == keys and read.mac_key == leading.mac_key
            assert read.api_token_previous == before.api_token  # the other host may still use it
    settled = from_environments([environment(after)] * 2)
    assert (settled.rotating, settled.mac_key, settled.mac_keys_accepted) == (False, after.mac_key, (before.mac_key,))
    assert from_environments([environment(before)]).mac_keys_accepted == ()
    with pytest.raises(KeyError):
        from_environments([environment(after), "REDIS_PORT=1\n"])
