"""Faults for a run on the GPU host."""

import os
import signal
import threading
import time
from collections.abc import Callable

from tests.lab.faults.paused_run import CLOCK_PROGRAM, MEMORY, PHASE_TIMEOUT_S, PausedRun
from tests.lab.machine.paths import OPERATOR
from tests.lab.wait import wait_for

AWAY_S = 40.0  # twice the time after which a connection counts as lost
HOURS = 6 * 3600.0
# Scripts that a host runs at its boot.
NO_GPU = """place=/run/systemd/system/pneumoctl-train.service.d; mkdir -p $place
printf '[Service]\\nUnsetEnvironment=PNEUMOCTL_GPU_STAND_IN\\n' >$place/none.conf"""
WRONG_CLOCK = f"""cat >/run/clock.py <<'END'
{CLOCK_PROGRAM.read_text()}
END
mount --bind /run/clock.py $(python3 -c 'import sitecustomize; print(sitecustomize.__file__)')"""

Injection = Callable[[PausedRun], None]


def send_signals(*numbers: int, group: bool = True) -> Injection:
    """Send signals to pneumoctl, two seconds apart. `group`: to all its processes, as a terminal does."""

    def inject(paused: PausedRun) -> None:
        for position, number in enumerate(numbers):
            time.sleep(2 * bool(position))
            (os.killpg if group else os.kill)(paused.child.pid, number)

    return inject


def disconnect_for_a_while(paused: PausedRun) -> None:
    """The operator's machine has no network for a while."""
    fault = paused.training.operator.lab.fault
    fault.cut("operator")
    paused.resume()
    paused.timer = threading.Timer(AWAY_S, fault.restore, ["operator"])
    paused.timer.start()


def disconnect(paused: PausedRun) -> None:
    """The operator's machine loses its network for good, and pneumoctl is killed at the end."""
    paused.training.operator.lab.fault.cut("operator")
    paused.resume()
    wait_for("the host to be off", lambda: paused.state == "stopped", PHASE_TIMEOUT_S + 60)
    paused.child.kill()


def kill_host(paused: PausedRun) -> None:
    paused.training.operator.lab.fault.kill("train")


def signal_run(number: int) -> Injection:
    """Send a signal to the run's main process on its host."""
    return lambda paused: os.kill(paused.training.process(), number)


def short_of_memory(paused: PausedRun) -> None:
    """Set the memory limit of the run below what it uses, so that the kernel kills it."""
    if not (MEMORY / "memory.limit_in_bytes").exists():
        paused.run_script("systemctl set-property --runtime pneumoctl-train.service MemoryMax=32M MemorySwapMax=0")
        return
    group = MEMORY / f"{paused.training.operator.lab.paths.prefix}-full"
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(4 << 20))
    (group / "cgroup.procs").write_text(str(paused.training.process()))


def fill_disk(paused: PausedRun) -> None:
    paused.training.operator.lab.fault.fill("train")
    paused.resume()


def refuse_writes(**how: object) -> Injection:
    """The bucket refuses writes from the host."""

    def inject(paused: PausedRun) -> None:
        fault = {"service": "s3", "action": "PutObject", "source": paused.address, **how}
        paused.training.operator.lab.fault.api(str(fault.pop("kind")), **fault)

    return inject


def fail_at_stop(kind: str, **how: object) -> Injection:
    """The API fails when the client stops the GPU host."""

    def inject(paused: PausedRun) -> None:
        paused.training.operator.lab.fault.api(kind, **{"service": "ec2", "source": OPERATOR, **how})
        os.killpg(paused.child.pid, signal.SIGINT)

    return inject


def set_client_clock(seconds: float) -> Injection:
    return lambda paused: (paused.clock_offset.write_text(str(seconds)), None)[1]


def set_host_clock(seconds: float) -> Injection:
    return lambda paused: (paused.run_script(f"echo {seconds} >/run/seconds-ahead"), None)[1]


def run_other_command(*arguments: str, code: int) -> Injection:
    """Run another command during the run."""
    return lambda paused: (paused.training.operator.run(*arguments, code=code), None)[1]


def deny_schedule(paused: PausedRun) -> None:
    """The account does not allow scheduling the stop."""
    paused.training.operator.lab.fault.api("denied", service="scheduler", action="CreateSchedule")


def no_injection(paused: PausedRun) -> None:
    """Do nothing: the fault was applied before the run started."""
