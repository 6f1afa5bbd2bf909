"""Ports of stacks that start at the same time as other stacks and programs."""

import re
import shutil
from pathlib import Path

import pytest

from pneumoctl.stack.secrets import Secrets
from pneumoctl.stack.stack import Ports, Stack
from pneumoctl.targets.local import port_reservation
from tests.webapp.servers import free_port


def test_a_port_of_another_stack_is_neither_assigned_nor_saved(tmp_path: Path) -> None:
    base = free_port()
    mine, other = (Stack(name, tmp_path / name) for name in ("mine", "other"))
    ports = Ports({"redis": base}, {"redis": base})
    port_reservation.save(mine, Secrets.generate(), ports)
    assert port_reservation.of_others(other) == {base: "mine"} and port_reservation.of_others(mine) == {}
    with pytest.raises(port_reservation.PortsTaken, match=re.escape(f"stack mine has taken port {base}")):
        port_reservation.save(other, Secrets.generate(), ports)
    assert other.ports() is None
    (mine.directory / "ports.json").write_text("{")
    assert port_reservation.of_others(other) == {}
    shutil.rmtree(mine.directory)
    port_reservation.save(other, Secrets.generate(), ports)
