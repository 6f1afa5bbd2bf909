"""Faults for a run on the GPU host."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.faults import wrong_clock
from tests.lab.faults.training_scene import MEMORY, REACH_S, Scene
from tests.lab.machine.places import OPERATOR
from tests.lab.small import until

AWAY_S = 40.0  # twice the time after which a connection counts as lost
HOURS = 6 * 3600.0
# Scripts that a host runs at its boot.
NO_GPU = """place=/run/systemd/system/pneumoctl-train.service.d; mkdir -p $place
printf '[Service]\\nUnsetEnvironment=PNEUMOCTL_GPU_STAND_IN\\n' >$place/none.conf"""
WRONG_CLOCK = f"""cat >/run/clock.py <<'END'
{Path(wrong_clock.__file__).read_text()}
END
mount --bind /run/clock.py $(python3 -c 'import sitecustomize; print(sitecustomize.__file__)')"""

Strike = Callable[[Scene], None]


def told(*numbers: int, group: bool = True) -> Strike:
    """Send signals to pneumoctl, two seconds apart. `group`: to all its processes, as a terminal does."""

    def strike(scene: Scene) -> None:
        for position, number in enumerate(numbers):
            time.sleep(2 * bool(position))
            (os.killpg if group else os.kill)(scene.child.pid, number)

    return strike


def away(scene: Scene) -> None:
    """The operator's machine has no network for a while."""
    fault = scene.training.operator.lab.fault
    fault.cut("operator")
    scene.let_go()
    scene.timer = threading.Timer(AWAY_S, fault.restore, ["operator"])
    scene.timer.start()


def gone(scene: Scene) -> None:
    """The operator's machine loses its network for good, and pneumoctl is killed at the end."""
    scene.training.operator.lab.fault.cut("operator")
    scene.let_go()
    until("the host to be off", lambda: scene.state == "stopped", REACH_S + 60)
    scene.child.kill()


def dies(scene: Scene) -> None:
    scene.training.operator.lab.fault.kill("train")


def to_run(number: int) -> Strike:
    """Send a signal to the run's main process on its host."""
    return lambda scene: os.kill(scene.training.process(), number)


def short_of_memory(scene: Scene) -> None:
    """Set the memory limit of the run below what it uses, so that the kernel kills it."""
    if not (MEMORY / "memory.limit_in_bytes").exists():
        scene.on("systemctl set-property --runtime pneumoctl-train.service MemoryMax=32M MemorySwapMax=0")
        return
    group = MEMORY / f"{scene.training.operator.lab.places.prefix}-full"
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(4 << 20))
    (group / "cgroup.procs").write_text(str(scene.training.process()))


def full(scene: Scene) -> None:
    scene.training.operator.lab.fault.fill("train")
    scene.let_go()


def unwritable(**how: object) -> Strike:
    """The bucket refuses writes from the host."""

    def strike(scene: Scene) -> None:
        fault = {"service": "s3", "action": "PutObject", "source": scene.address, **how}
        scene.training.operator.lab.fault.api(str(fault.pop("kind")), **fault)

    return strike


def at_the_stop(kind: str, **how: object) -> Strike:
    """The API fails when the client stops the GPU host."""

    def strike(scene: Scene) -> None:
        scene.training.operator.lab.fault.api(kind, **{"service": "ec2", "source": OPERATOR, **how})
        os.killpg(scene.child.pid, signal.SIGINT)

    return strike


def client_clock(seconds: float) -> Strike:
    return lambda scene: (scene.ahead.write_text(str(seconds)), None)[1]


def host_clock(seconds: float) -> Strike:
    return lambda scene: (scene.on(f"echo {seconds} >/run/seconds-ahead"), None)[1]


def another(*words: str, code: int) -> Strike:
    """Run another command during the run."""
    return lambda scene: (scene.training.operator.run(*words, code=code), None)[1]


def unarmable(scene: Scene) -> None:
    """The account does not allow scheduling the stop."""
    scene.training.operator.lab.fault.api("denied", service="scheduler", action="CreateSchedule")


def nothing(scene: Scene) -> None:
    """Do nothing: the fault was applied before the run started."""
