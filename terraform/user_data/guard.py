#!/usr/bin/env python3
"""Powers this training host off unless it may stay on; asked twice a minute, from its first boot on.

It may stay on while a run that was ordered here trains within its deadline, and while an operator holds the lease. All
times are since boot: no clock that anybody can set. Powered off, EC2 stops it; a halted host would go on billing.
"""

import contextlib
import json
import subprocess
import time
from pathlib import Path

IDLE_S = 600  # nothing trains, and nobody renews the lease
FIRST_S = 120  # the same in the boot that made this host, which nobody waits for
PROOF_S = 180  # until the framework has seen its GPU
FORCE_S = 300  # for the checkpoint on its way to the bucket; then services are ended by force
SYSTEMD_S = 25  # for an answer: one that hangs must not keep the next look from being taken
MARK = Path("/var/lib/pneumoctl/boot")  # is not there yet in that boot
ORDER = Path("/var/lib/pneumoctl/guard.json")  # what may train here, and until when
BOOT = Path("/proc/sys/kernel/random/boot_id")
LEASE = Path("/run/pneumoctl/lease")  # renewed every few seconds by an operator who works here
PROGRESS = Path("/run/pneumoctl-train/progress.json")
SEEN = Path("/run/pneumoctl-guard.json")  # what we saw, and when it last changed; gone with a boot
LOG = Path("/var/lib/pneumoctl/guard.log")
METRICS = Path("/var/lib/prometheus/node-exporter")
SERVICE = "pneumoctl-train.service"


def read(path: Path) -> dict:
    """A JSON object; {} where there is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        return found if isinstance(found, dict) else {}
    return {}


def look(seen: dict, now: float, lease: dict, progress: dict) -> dict:
    """What was seen before, brought up to date: `changed` says when each thing last moved."""
    seen = seen or {"began": now, "first": not MARK.exists(), "changed": {}}
    phase = "" if progress.get("gpu") else progress.get("phase")  # proven, it is no longer being proven
    things = {"lease": lease.get("until"), "counter": progress.get("counter"), "phase": phase}
    for name, value in things.items():
        if seen.get(name) != value:
            seen[name], seen["changed"][name] = value, now
    return seen


def verdict(seen: dict, now: float, order: dict, training: bool | None) -> str:
    """Why this host must go off, "" if it may stay on; training: None when systemd does not say."""
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
    """Power off, at last by force."""
    waited = now - seen["off"]
    force = ["--force"] * ((waited >= FORCE_S) + (waited >= 1.2 * FORCE_S))
    line = f"pneumoctl-guard: powering off: {reason}"
    for path in (Path("/dev/console"), LOG):
        with contextlib.suppress(OSError), path.open("a") as file:
            file.write(f"{line}\n")
    print(line)
    subprocess.run(["systemctl", "poweroff", "--no-block", *force], check=True, timeout=SYSTEMD_S)


def figures(order: dict, progress: dict, now: float, smi: str) -> list[str]:
    """For Prometheus: until when this GPU may run, whether anything moves, and what nvidia-smi said of each card."""
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
    """Leave the figures where the node exporter looks for more."""
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
    """Of the training unit in systemd's word; "" where it gives none."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = ["systemctl", "is-active", SERVICE]
        return subprocess.run(asked, capture_output=True, text=True, timeout=SYSTEMD_S).stdout.strip()
    return ""


def main() -> None:
    """One look."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    order, progress = read(ORDER), read(PROGRESS)
    if order.get("boot") != BOOT.read_text().strip():  # an order of an earlier boot is over
        order = {}
    seen = look(read(SEEN), now, read(LEASE), progress)
    known = {"inactive": False, "failed": False, "active": True, "activating": True, "deactivating": True}
    reason = verdict(seen, now, order, known.get(state()))
    if reason:
        seen.setdefault("off", now)
    with contextlib.suppress(OSError):  # before anything that may fail: what is seen now decides later
        SEEN.write_text(json.dumps(seen))
    if reason:
        off(seen, now, reason)
    with contextlib.suppress(OSError, ValueError):
        tell(order, progress, now)


if __name__ == "__main__":
    main()
