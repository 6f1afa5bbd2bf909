"""A socket that detects a peer that is gone."""

import pkgutil
import socket
import time
from unittest.mock import Mock

import pytest

from pneumoctl.ssh import keepalive_socket
from pneumoctl.ssh.keepalive_socket import KeepaliveSocket


def test_bytes_pass_and_end_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair()
    with here, there:
        keepalive = KeepaliveSocket(here)
        there.sendall(b"abc")
        time.sleep(0.05)
        assert keepalive.silent() > 0.04 and keepalive.recv(10) == b"abc" and keepalive.silent() < 0.04
        assert keepalive.send(b"xyz") == 3 and there.recv(10) == b"xyz"
        there.close()
        assert keepalive.recv(10) == b""


def test_long_silence_is_an_end_of_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive_socket, "SILENCE", 0.2)
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(0.05)
        keepalive = KeepaliveSocket(here)
        with pytest.raises(TimeoutError):
            keepalive.recv(1)
        time.sleep(0.2)
        assert keepalive.recv(1) == b""


def test_a_send_to_a_silent_peer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive_socket, "SILENCE", 0.2)
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(0.05)
        keepalive = KeepaliveSocket(here)
        began = time.monotonic()
        with pytest.raises(ConnectionResetError, match="lost"):
            while time.monotonic() - began < 60:
                try:
                    keepalive.send(b"x" * 100_000)
                except ConnectionResetError:
                    raise
                except TimeoutError:
                    continue


@pytest.mark.parametrize("error", ["builtins.EOFError", "builtins.OSError", "paramiko.SSHException"])
def test_closing_a_channel_of_a_dead_bastion_raises_nothing(error: str) -> None:
    gone = pkgutil.resolve_name(error)
    sock = Mock(
        close=Mock(side_effect=gone)
    )  # paramiko sends a close message on the bastion's connection, which may be lost
    KeepaliveSocket(sock).close()
    sock.close.assert_called_once_with()
