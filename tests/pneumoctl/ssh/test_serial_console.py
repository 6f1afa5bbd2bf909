"""Host keys and boot marks among everything else on a serial console."""

import pytest

from pneumoctl.ssh.serial_console import boot_mark, host_key, lines

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDh2LNi8qbRgGN8FfoyDzZLXPGBFnAIPR0S9xQF9SDLY"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBo7q4bB4nW0vQZwYw4oA7dWn8lAB2q9W1r6w2m0Yx0J"
ECDSA = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YR"
    "YMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg0="
)
BLOCK = "-----BEGIN SSH HOST KEY KEYS-----\r\n{}\r\n-----END SSH HOST KEY KEYS-----\r\n"


def test_the_key_is_read_from_our_line_among_colours_and_carriage_returns() -> None:
    assert host_key(f"[   1.2] kernel\r\n\x1b[32mpneumoctl-host-key: {KEY} root@ip\x1b[0m\r\nmore") == KEY
    assert host_key(f"[  9.1] cloud-init[512]: pneumoctl-host-key: {KEY}\n") == KEY
    assert host_key(f"Debian GNU/Linux 12 ip ttyS0\n\nip login: pneumoctl-host-key: {KEY}\r\n") == KEY


def test_an_empty_or_garbled_console_has_no_key_and_no_mark() -> None:
    for console in ("", "\x00\xff\ufffd" * 50, "pneumoctl-host-key:", "pneumoctl-host-key: ssh-ed25519", "\r\n" * 9):
        assert host_key(console) is None and boot_mark(console) is None


@pytest.mark.parametrize("at", [32, 60, 80, 99])
def test_a_wrapped_line_is_joined(at: int) -> None:
    line = f"pneumoctl-host-key: {KEY}"
    assert host_key(f"{line[:at]}\r\n{line[at:]}\r\npneumoctl-boot: ok\r\n") == KEY


def test_a_truncated_key_is_never_completed_with_other_lines() -> None:
    line = f"pneumoctl-host-key: {KEY}"
    for following in ("pneumoctl-boot: ok", "[  12.3] random: crng init done", "Debian", "a" * 40, ""):
        assert host_key(f"{line[:-9]}\n{following}\n") is None


def test_the_last_complete_key_counts() -> None:
    console = f"pneumoctl-host-key: {KEY}\npneumoctl-host-key: {OTHER}\n"
    assert host_key(console) == OTHER
    assert host_key(console + "pneumoctl-host-key: ssh-ed25519 AAAAC3Nz") == OTHER


def test_cloud_inits_block_is_the_fallback_and_its_ed25519_key_preferred() -> None:
    assert host_key(BLOCK.format(f"{ECDSA} root@ip\r\n{KEY} root@ip")) == KEY
    assert host_key(BLOCK.format(f"{ECDSA} root@ip")) == ECDSA
    assert host_key(BLOCK.format("ssh-ed25519 AAAAnonsense")) is None
    assert host_key(BLOCK.format(KEY) + f"pneumoctl-host-key: {OTHER}\n") == OTHER
    assert host_key(f"-----BEGIN SSH HOST KEY KEYS-----\n{KEY}\n") is None


def test_a_key_outside_of_line_and_block_is_no_host_key() -> None:
    assert host_key(f"authorized: {KEY}\n") is None


def test_the_boot_mark_is_that_of_the_last_boot() -> None:
    first = f"Linux version 6.1.0\r\npneumoctl-host-key: {KEY}\r\npneumoctl-boot: failed line 3: false (exit 1)\r\n"
    assert boot_mark(first) == "failed line 3: false (exit 1)"
    again = first + "[    0.000000] Linux version 6.1.0\r\n[    1.0] systemd\r\n"
    assert boot_mark(again) is None
    assert boot_mark(again + "\x1b[0mpneumoctl-boot: ok\x1b[K\r\n") == "ok"
    assert boot_mark(first + f"pneumoctl-host-key: {KEY}\r\n") is None


def test_a_mark_counts_even_if_the_console_has_lost_the_start_of_the_boot() -> None:
    assert boot_mark("...\npneumoctl-boot: ok\n") == "ok"
    assert boot_mark("pneumoctl-boot: perhaps\n") is None


def test_lines_have_no_control_characters() -> None:
    assert lines("\x1b]0;title\x07a\x1b[31mb\r\n\x08c\x7f") == ["ab", "c"]
