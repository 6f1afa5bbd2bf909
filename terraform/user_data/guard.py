#!/usr/bin/env python3
"""Powers this training host off unless it may stay on. A timer runs it twice a minute, from the first boot on.

The host may stay on while the ordered run trains within its deadline, and while an operator renews the lease. All times
are since boot, because nobody can set that clock. EC2 stops a host that powers off; a halted one still costs money.
"""

import contextlib
import json
import subprocess
import time
from pathlib import Path

IDLE_S = 600  # maximum time without a run and without a lease
FIRST_S = 120  # the same during the first boot, for which no client waits
PROOF_S = 180  # maximum time until the framework has found the GPU
FORCE_S = 300  # for the upload of the checkpoint; then the shutdown is forced
SYSTEMD_S = 25  # time limit of systemctl: if it hangs, the next check must still run
MARK = Path("/var/lib/pneumoctl/boot")  # does not exist during the first boot
ORDER = Path("/var/lib/pneumoctl/guard.json")  # the ordered run and its deadline
BOOT = Path("/proc/sys/kernel/random/boot_id")
LEASE = Path("/run/pneumoctl/lease")  # renewed every few seconds by a connected client
PROGRESS = Path("/run/pneumoctl-train/progress.json")
SEEN = Path("/run/pneumoctl-guard.json")  # the observed values and when they last changed; lost at a reboot
LOG = Path("/var/lib/pneumoctl/guard.log")
METRICS = Path("/var/lib/prometheus/node-exporter")
SERVICE = "pneumoctl-train.service"


def read(path: Path) -> dict:
    """Read a JSON object; {} if there is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    return {}


def look(seen: dict, now: float, lease: dict, progress: dict) -> dict:
    """Update the observed values. `changed`: when each value last changed."""
    seen = seen or {"began": now, "first": not MARK.exists(), "changed": {}}
    phase = "" if progress.get("gpu") else progress.get("phase")  # the phase "proof" is over once a GPU is found
    things = {"lease": lease.get("until"), "counter": progress.get("counter"), "phase": phase}
    for name, value in things.items():
        if seen.get(name) != value:
            seen[name], seen["changed"][name] = value, now
    return seen


def verdict(seen: dict, now: float, order: dict, training: bool | None) -> str:
    """Why this host must power off, "" if it may stay on. training: None if systemd does not answer."""
    changed = seen["changed"]
    if order and now >= order["until_uptime"]:
        return "deadline"
    if training is None:
        return ""
    if not training:
        idle = now - max(changed.get("lease", 0), seen.get("trained", 0), seen["began"])
        return "idle" if idle >= (FIRST_S if seen["first"] and "lease" not in changed else IDLE_S) else ""
    if not order:
        return "nothing was ordered"
    seen["trained"] = now
    since = seen.setdefault("training", now)
    if seen.get("phase") == "proof" and now - max(changed["phase"], since) >= PROOF_S:
        return "no GPU seen"
    if now - max(changed.get("counter", 0), since) >= order["stall_s"]:
        return "stalled"
    return ""


def off(seen: dict, now: float, reason: str) -> None:
    """Power off; after FORCE_S seconds with --force."""
    waited = now - seen["off"]
    force = ["--force"] * ((waited >= FORCE_S) + (waited >= 1.2 * FORCE_S))
    line = f"pneumoctl-guard: powering off: {reason}"
    for path in (Path("/dev/console"), LOG):
        with contextlib.suppress(OSError), path.open("a") as file:
            file.write(f"{line}\n")
    print(line)
    subprocess.run(["systemctl", "poweroff", "--no-block", *force], check=True, timeout=SYSTEMD_S)


def figures(order: dict, progress: dict, now: float, smi: str) -> list[str]:
    """Metrics for Prometheus: the time limit of this GPU, the training steps, and nvidia-smi's values for each card."""
    lines = [
        f"pneumoctl_gpu_lease_expires_seconds {time.time() + order.get('until_uptime', now) - now}",
        f"pneumoctl_training_steps_total {progress.get('counter', 0)}",
    ]
    for card in smi.splitlines():
        number, busy, used, total = (word.strip() for word in card.split(","))
        lines.append(f'pneumoctl_gpu_busy_ratio{{gpu="{number}"}} {float(busy) / 100}')
        lines.append(f'pneumoctl_gpu_memory_ratio{{gpu="{number}"}} {float(used) / float(total)}')
    return lines


def tell(order: dict, progress: dict, now: float) -> None:
    """Write the metrics to the folder of the node exporter's textfile collector."""
    if not METRICS.is_dir():
        return
    smi = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = ["nvidia-smi", "--query-gpu=index,utilization.gpu,memory.used,memory.total"]
        asked.append("--format=csv,noheader,nounits")
        smi = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout
    fresh = METRICS / "pneumoctl.prom.new"
    fresh.write_text("\n".join(figures(order, progress, now, smi)) + "\n")
    fresh.replace(METRICS / "pneumoctl.prom")


def state() -> str:
    """The state of the training unit according to systemd; "" if it does not answer."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = ["systemctl", "is-active", SERVICE]
        return subprocess.run(asked, capture_output=True, text=True, timeout=SYSTEMD_S).stdout.strip()
    return ""


def main() -> None:
    """Check once whether this host may stay on."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    order, progress = read(ORDER), read(PROGRESS)
    if order.get("boot") != BOOT.read_text().strip():  # an order from before a reboot is not valid
        order = {}
    seen = look(read(SEEN), now, read(LEASE), progress)
    known = {"inactive": False, "failed": False, "active": True, "activating": True, "deactivating": True}
    reason = verdict(seen, now, order, known.get(state()))
    if reason:
        seen.setdefault("off", now)
    with contextlib.suppress(OSError):  # first, because later checks need it even if the rest fails
        SEEN.write_text(json.dumps(seen))
    if reason:
        off(seen, now, reason)
    with contextlib.suppress(OSError, ValueError):
        tell(order, progress, now)


if __name__ == "__main__":
    main()
