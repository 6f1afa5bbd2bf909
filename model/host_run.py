"""Carry out a training order on its host: `python -m model.host_run ORDER`; `--farewell` sends home what is left.

The order is a JSON file (pneumoctl/training/host_plan.py writes it). Exit codes: model.train's, and 5: no GPU, 6: the
data is not to be had. However it ends, `end.json` says how, in the run's directory and in the bucket.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import train
from model.files import write_json
from model.host import spot_notice
from model.host.checkpoint_upload import Shipper, restore, ship
from model.host.heartbeat import END, News, Places
from model.host.s3 import Bucket, BucketError, pull, send
from model.settings import SettingsError
from model.training import run_dir
from model.training.checkpoint import LATEST

if TYPE_CHECKING:
    from model.training.loop import Progress

log = logging.getLogger(__name__)
NO_GPU, NO_DATA = 5, 6
PROOF_S = 120.0
FAREWELL_S = 80.0  # systemd gives it 100
WHY = {0: "done", train.COLLAPSED: "collapsed", NO_GPU: "no gpu"}


class Told(BaseException):
    """Someone asked this process to end while nothing was trained; the signal's number."""


def main(arguments: list[str]) -> int:
    """See above."""
    farewell = "--farewell" in arguments
    try:
        (path,) = [one for one in arguments if one != "--farewell"]
        order = json.loads(Path(path).read_text())
        places = Places(order)
        bucket = Bucket(order["bucket"], order["region"], f"runs/{order['run']}/")
    except (OSError, ValueError, KeyError) as error:
        print(f"error: no order to carry out: {type(error).__name__}: {error}", file=sys.stderr)
        return train.USAGE
    if farewell:
        return bid_farewell(order, places, bucket)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    why: list[str] = []
    code = _whatever_happens(order, places, bucket, why)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ended(order, places, code, why[0] if why else "")
    return code


def _whatever_happens(order: dict[str, Any], places: Places, bucket: Bucket, why: list[str]) -> int:
    """The exit code of carrying out the order; a signal counts from the first moment on."""

    def told(number: int, _: object) -> None:
        raise Told(number)

    signal.signal(signal.SIGTERM, told)
    try:
        places.run.mkdir(parents=True, exist_ok=True)
        (places.run / END).unlink(missing_ok=True)
        return carry_out(order, places, bucket, why)
    except Told as asked:
        why.append("stopped before there was anything to save")
        return 128 + int(asked.args[0])
    except (SettingsError, run_dir.UsageError) as error:
        why.append(f"the run's arguments: {error}")
        return train.USAGE
    except SystemExit:  # argparse has said why
        why.append(f"model.train does not take {' '.join(order['arguments'])}")
        return train.USAGE
    except Exception as error:
        log.exception("the run failed")
        why.append(f"{type(error).__name__}: {error}")
        return train.FAILED


def carry_out(order: dict[str, Any], places: Places, bucket: Bucket, why: list[str]) -> int:
    """Data, GPU, training; returns the exit code. `why`: gets a reason that the exit code cannot tell."""
    news = News(places, order["run"])
    news.tell(at_once=True)
    if order["spot"]:
        threading.Thread(target=spot_notice.mind, args=(why,), daemon=True).start()
    try:
        data = pull(
            Bucket(order["bucket"], order["region"]),
            order["data"],
            places.data,
            lambda done, total: news.tell(files=done, files_total=total),
        )
        if order["resume"]:
            log.info("going on from %s", restore(bucket, places.out) or "the start")
    except BucketError as error:
        log.error("%s", error)
        why.append(str(error))
        return NO_DATA
    if not proven(order, places, news, why):
        return NO_GPU
    shipper = Shipper(bucket)
    going_on = order["resume"] and any((places.out / name).is_file() for name in (run_dir.SETTINGS, run_dir.LOG))
    argv = [str(data), "--out", str(places.out), *order["arguments"], *(["--resume"] if going_on else [])]
    settings: dict[str, Any] = {}

    def told(progress: Progress, steps: int) -> None:
        if not settings:
            settings.update(json.loads((places.out / run_dir.SETTINGS).read_text())["settings"])
        news.step(progress, steps, settings, shipper.trouble)

    code = train.train(argv, train.Onlooker(shipper.offer, told, lambda phase: news.tell(at_once=True, phase=phase)))
    news.tell(at_once=True, phase="upload")
    if not shipper.close(FAREWELL_S / 2):
        why.append(f"the newest checkpoint is not in the bucket: {shipper.trouble or 'no time left'}")
    return code


def proven(order: dict[str, Any], places: Places, news: News, why: list[str]) -> bool:
    """Whether the framework multiplies matrices on a GPU in time; an order without one is taken at its word."""
    if not order["gpu"]:
        return True
    from model.training import devices

    news.tell(at_once=True, phase="proof")
    alarm = threading.Timer(PROOF_S, _late, (order, places))
    alarm.daemon = True
    alarm.start()
    signal.alarm(int(PROOF_S) + 5)  # should the driver hang while it keeps the alarm's thread from running
    try:
        news.tell(at_once=True, gpu=devices.prove())
    except devices.NoGpu as error:
        log.error("%s", error)
        why.append(str(error))
        return False
    finally:
        alarm.cancel()
        signal.alarm(0)
    return True


def _late(order: dict[str, Any], places: Places) -> None:
    """The proof hangs, perhaps in the driver: nothing but our end helps."""
    ended(order, places, NO_GPU, f"no GPU was proven in {PROOF_S:.0f} s")
    os._exit(NO_GPU)


def ended(order: dict[str, Any], places: Places, code: int, message: str) -> None:
    """Write down how it ended, if the disk takes it."""
    if not message and (places.out / run_dir.RUN).is_file():
        message = json.loads((places.out / run_dir.RUN).read_text()).get("message", "")
    try:
        write_json(places.run / END, _end(order, code, message))
    except OSError as error:
        log.error("how it ended (%s) cannot be written: %s", message, error)


def _end(order: dict[str, Any], code: int | None, message: str, why: str = "failed") -> dict[str, Any]:
    if code is not None:
        stopped = "spot" if message.startswith("spot") else "stopped"
        why = stopped if code >= 128 else WHY.get(code, "failed")
    return {"run": order["run"], "exit": code, "why": why, "message": message, "at": time.time()}


def bid_farewell(order: dict[str, Any], places: Places, bucket: Bucket) -> int:
    """Everything of the run to the bucket in bounded time, whatever became of it; how it ended goes last."""
    signal.alarm(int(FAREWELL_S) + 10)  # were this ended by systemd, it would not go on to power off
    missed: list[str] = []
    sender = threading.Thread(target=_send_home, args=(places, bucket, missed), daemon=True)
    sender.start()
    sender.join(FAREWELL_S)
    if sender.is_alive():
        missed.append("the rest: no time left")
    document = {**_how_it_ended(order, places), "missed": missed[:5]}
    try:
        bucket.put(END, json.dumps(document).encode())
    except BucketError as error:
        missed.append(str(error))
    for one in missed:
        print(f"not sent: {one}", file=sys.stderr, flush=True)
    return 1 if missed else 0


def _how_it_ended(order: dict[str, Any], places: Places) -> dict[str, Any]:
    """What it wrote itself, else what systemd says of its end."""
    try:
        written: dict[str, Any] = json.loads((places.run / END).read_text())
        return written
    except (OSError, ValueError):
        status = os.environ.get("EXIT_STATUS", "")
        message = f"{os.environ.get('SERVICE_RESULT', 'unknown')} {status}".strip()
        return _end(
            order, int(status) if status.isdigit() else None, message, WHY[NO_GPU] if status == "ALRM" else "killed"
        )


def _send_home(places: Places, bucket: Bucket, missed: list[str]) -> None:
    deadline = time.monotonic() + FAREWELL_S
    ready = (places.out / run_dir.BUNDLE).is_dir()  # a model that is ready is worth more than a checkpoint
    if not ready:
        _send_checkpoint(places, bucket, missed)
    for root in (places.out, places.run):
        missed += send(bucket, root, deadline, ("out", "checkpoints", "lock", END), run_dir.BUNDLE)
    if ready:
        _send_checkpoint(places, bucket, missed)


def _send_checkpoint(places: Places, bucket: Bucket, missed: list[str]) -> None:
    try:
        latest = (places.out / run_dir.CHECKPOINTS / LATEST).read_text().strip()
        if bucket.get(f"checkpoints/{LATEST}") != latest.encode():
            ship(bucket, places.out / run_dir.CHECKPOINTS / latest)
    except FileNotFoundError:  # it came to none
        pass
    except BucketError as error:
        missed.append(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
