"""Run a training order on its host: `python -m model.host_run ORDER`; `--upload-results` uploads what the run left.

The order is a JSON file (pneumoctl/training/host_plan.py writes it). Exit codes: those of model.train, and 5: no GPU,
6: the data cannot be downloaded. end.json, in the run directory and in the bucket, states how the run ended.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model import run_dir, train
from model.files import write_json
from model.host import spot_notice
from model.host.checkpoint_upload import CheckpointUploader, restore, upload
from model.host.heartbeat import END, Heartbeat, RunPaths
from model.host.s3 import Bucket, BucketError, download_data_set, upload_tree
from model.settings import SettingsError
from model.training import devices
from model.training.checkpoint import LATEST
from model.training.observer import Observer

if TYPE_CHECKING:
    from model.training.progress import Progress

log = logging.getLogger(__name__)
NO_GPU, NO_DATA = 5, 6
GPU_CHECK_S = 120.0
UPLOAD_S = 80.0  # the unit allows 90
WHY = {0: "done", train.COLLAPSED: "collapsed", train.NOT_RESUMABLE: "not resumable", NO_GPU: "no gpu"}


class StopRequested(BaseException):
    """A signal asked this process to end before the training started; its argument is the signal number."""


def main(arguments: list[str]) -> int:
    """The command line; the docstring of the module lists the exit codes."""
    parser = argparse.ArgumentParser(prog="python -m model.host_run", description="Run a training order on its host.")
    parser.add_argument("order", type=Path, help="JSON file with the order, as pneumoctl writes it")
    parser.add_argument("--upload-results", action="store_true", help="upload what the run left, and do not train")
    options = parser.parse_args(arguments)
    try:
        order = json.loads(options.order.read_text())
        paths = RunPaths(order)
        bucket = Bucket(order["bucket"], order["region"], f"runs/{order['run']}/")
    except (OSError, ValueError, KeyError) as error:
        print(f"error: the order is damaged or cannot be read ({error})", file=sys.stderr)
        return train.USAGE
    if options.upload_results:
        return upload_results(order, paths, bucket)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    reasons: list[str] = []
    code = _run(order, paths, bucket, reasons)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_end(order, paths, code, reasons[0] if reasons else "")
    return code


def _run(order: dict[str, Any], paths: RunPaths, bucket: Bucket, reasons: list[str]) -> int:
    """Run the order and return the exit code, whatever error or signal ends it."""

    def stop(number: int, _: object) -> None:
        raise StopRequested(number)

    signal.signal(signal.SIGTERM, stop)
    try:
        paths.run.mkdir(parents=True, exist_ok=True)
        (paths.run / END).unlink(missing_ok=True)
        return run_order(order, paths, bucket, reasons)
    except StopRequested as request:
        reasons.append("stopped before the training started; nothing was saved")
        return 128 + int(request.args[0])
    except (SettingsError, run_dir.UsageError) as error:
        reasons.append(f"the arguments of the run are invalid: {error}")
        return train.USAGE
    except SystemExit:  # argparse has printed the reason
        reasons.append(f"model.train does not accept the arguments {' '.join(order['arguments'])}")
        return train.USAGE
    except Exception as error:
        log.exception("the run failed")
        reasons.append(f"unexpected error, see its log ({type(error).__name__}: {error})")
        return train.FAILED


def run_order(order: dict[str, Any], paths: RunPaths, bucket: Bucket, reasons: list[str]) -> int:
    """Download the data, check the GPU and train; returns the exit code. `reasons` gets what the code does not say."""
    heartbeat = Heartbeat(paths, order["run"])
    heartbeat.report(at_once=True)
    if order["spot"]:
        threading.Thread(target=spot_notice.watch, args=(reasons,), daemon=True).start()
    try:
        data = download_data_set(
            Bucket(order["bucket"], order["region"]),
            order["data"],
            paths.data,
            lambda done, total: heartbeat.report(files=done, files_total=total),
        )
        if order["resume"]:
            log.info("continuing from %s", restore(bucket, paths.out) or "the start")
    except BucketError as error:
        log.error("%s", error)
        reasons.append(str(error))
        return NO_DATA
    if not has_working_gpu(order, paths, heartbeat, reasons):
        return NO_GPU
    uploader = CheckpointUploader(bucket)
    resume = order["resume"] and any((paths.out / name).is_file() for name in (run_dir.SETTINGS, run_dir.LOG))
    argv = [str(data), "--out", str(paths.out), *order["arguments"], *(["--resume"] if resume else [])]
    settings: dict[str, Any] = {}

    def on_step(progress: Progress, steps: int) -> None:
        if not settings:
            settings.update(json.loads((paths.out / run_dir.SETTINGS).read_text())["settings"])
        heartbeat.step(progress, steps, settings, uploader.last_error)

    observer = Observer(uploader.offer, on_step, lambda phase: heartbeat.report(at_once=True, phase=phase))
    code = train.train(argv, observer)
    heartbeat.report(at_once=True, phase="upload")
    if not uploader.close(UPLOAD_S / 2):
        reasons.append(f"the newest checkpoint is not in the bucket: {uploader.last_error or 'no time left'}")
    return code


def has_working_gpu(order: dict[str, Any], paths: RunPaths, heartbeat: Heartbeat, reasons: list[str]) -> bool:
    """Whether TensorFlow multiplies matrices on a GPU in time; True for an order that needs no GPU."""
    if not order["gpu"]:
        return True
    heartbeat.report(at_once=True, phase="proof")
    alarm = threading.Timer(GPU_CHECK_S, _end_gpu_check, (order, paths))
    alarm.daemon = True
    alarm.start()
    signal.alarm(int(GPU_CHECK_S) + 5)  # in case a hanging driver keeps the thread of the timer from running
    try:
        heartbeat.report(at_once=True, gpu=devices.measure())
    except devices.NoGpu as error:
        log.error("%s", error)
        reasons.append(str(error))
        return False
    finally:
        alarm.cancel()
        signal.alarm(0)
    return True


def _end_gpu_check(order: dict[str, Any], paths: RunPaths) -> None:
    """End the process: the GPU check hangs, perhaps in the driver, and cannot be cancelled."""
    write_end(order, paths, NO_GPU, f"the GPU check did not finish within {GPU_CHECK_S:.0f} s")
    os._exit(NO_GPU)


def write_end(order: dict[str, Any], paths: RunPaths, code: int, message: str) -> None:
    """Write how the run ended to end.json; an error of the disk is logged only."""
    if not message and (paths.out / run_dir.RUN).is_file():
        message = json.loads((paths.out / run_dir.RUN).read_text()).get("message", "")
    try:
        write_json(paths.run / END, _end(order, code, message))
    except OSError as error:
        log.error("%s cannot be written: %s; the run ended with: %s", END, error, message)


def _end(order: dict[str, Any], code: int | None, message: str, why: str = "failed") -> dict[str, Any]:
    if code is not None:
        stopped = "spot" if message.startswith("spot") else "stopped"
        why = stopped if code >= 128 else WHY.get(code, "failed")
    return {"run": order["run"], "exit": code, "why": why, "message": message, "at": time.time()}


def upload_results(order: dict[str, Any], paths: RunPaths, bucket: Bucket) -> int:
    """Upload all files of a run within bounded time, however the run ended; end.json is uploaded last."""
    signal.alarm(int(UPLOAD_S) + 10)  # if systemd had to end this process, it might skip the power-off
    missed: list[str] = []
    uploading = threading.Thread(target=_upload_all, args=(paths, bucket, missed), daemon=True)
    uploading.start()
    uploading.join(UPLOAD_S)
    if uploading.is_alive():
        missed.append("the rest: no time left")
    document = {**_read_end(order, paths), "missed": missed[:5]}
    try:
        bucket.put(END, json.dumps(document).encode())
    except BucketError as error:
        missed.append(str(error))
    for name in missed:
        print(f"not uploaded: {name}", file=sys.stderr, flush=True)
    return 1 if missed else 0


def _read_end(order: dict[str, Any], paths: RunPaths) -> dict[str, Any]:
    """The end.json of the run, else one from the exit status that systemd reports."""
    try:
        document: dict[str, Any] = json.loads((paths.run / END).read_text())
        return document
    except (OSError, ValueError):
        status = os.environ.get("EXIT_STATUS", "")
        message = f"{os.environ.get('SERVICE_RESULT', 'unknown')} {status}".strip()
        return _end(
            order, int(status) if status.isdigit() else None, message, WHY[NO_GPU] if status == "ALRM" else "killed"
        )


def _upload_all(paths: RunPaths, bucket: Bucket, missed: list[str]) -> None:
    deadline = time.monotonic() + UPLOAD_S
    has_bundle = (paths.out / run_dir.BUNDLE).is_dir()  # then it is more important than the checkpoint
    if not has_bundle:
        _upload_checkpoint(paths, bucket, missed)
    skip = ("out", run_dir.CHECKPOINTS, run_dir.FEATURES, run_dir.LOCK, END)
    for root in (paths.out, paths.run):
        missed += upload_tree(bucket, root, deadline, skip, run_dir.BUNDLE)
    if has_bundle:
        _upload_checkpoint(paths, bucket, missed)


def _upload_checkpoint(paths: RunPaths, bucket: Bucket, missed: list[str]) -> None:
    try:
        latest = (paths.out / run_dir.CHECKPOINTS / LATEST).read_text().strip()
        if bucket.get(f"checkpoints/{LATEST}") != latest.encode():
            upload(bucket, paths.out / run_dir.CHECKPOINTS / latest)
    except FileNotFoundError:  # there is no checkpoint
        pass
    except BucketError as error:
        missed.append(str(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
