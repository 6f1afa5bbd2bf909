"""Stand-ins for pneumoctl and boto3: smoke.sh runs without a lab, and each of its checks can fail."""

import os
import sys
from pathlib import Path

# FAIL: a pattern of the shell for the command lines that fail. `state` has the state of the GPU host; without that file
# there is no stack.
PNEUMOCTL = r"""#!/bin/sh
echo "$*" >>"$STAND_IN/calls"
case "$*" in $FAIL) echo "error: it fails" >&2; exit 1 ;; esac
case "$*" in
  up*) echo stopped >"$STAND_IN/state" ;;
  status) echo "ALARM: the GPU host runs and costs money; next: pneumoctl gpu stop" >&2; exit 7 ;;
  "gpu stop") echo stopped >"$STAND_IN/state" ;;
  "gpu guard "*) echo '{"seconds": 3, "guard": "schedule"}' ;;
  cost*) echo '{"usd_per_hour": 0.15, "usd_so_far": 0.1}' ;;
  *--detach*) ;;
  *--resume*) echo '{"receipt": {"guard": "unit", "why": "done", "billed_s": 9}}' ;;
  train*)
    trap 'echo stopped >"$STAND_IN/state"; exit 130' INT
    echo running >"$STAND_IN/state"
    while sleep 0.1; do :; done ;;
  "runs show"*) echo '{"receipt": {"guard": "client"}}' ;;
  "results export "*) echo results >"$3" ;;
  teardown*) rm -f "$STAND_IN/state" ;;
  --version) echo "pneumoctl 0" ;;
esac
"""

BOTO3 = r"""
import os, pathlib

STATE = pathlib.Path(os.environ["STAND_IN"], "state")


class client:
    def __init__(self, service):
        pass

    def get_caller_identity(self):
        return {"Account": os.environ.get("ACCOUNT", "123456789012")}

    def get_paginator(self, operation):
        if os.environ.get("DENIED"):
            raise RuntimeError("AccessDenied")

        class Pages:
            def paginate(self, **_):
                found = [{"InstanceId": "i-1", "State": {"Name": STATE.read_text().strip()}}] if STATE.exists() else []
                return [{"Reservations": [{"Instances": found}], "ScheduleGroups": [], "Roles": []}]
        return Pages()

    def start_instances(self, InstanceIds):
        STATE.write_text("running")

    def stop_instances(self, InstanceIds):
        STATE.write_text("stopped")

    def __getattr__(self, operation):
        kinds = ("Volumes", "NatGateways", "Addresses", "Vpcs", "SecurityGroups", "KeyPairs", "Buckets")
        return lambda **_: dict.fromkeys(kinds, ())
"""


def environment(folder: Path, fail: str = "", **more: str) -> dict[str, str]:
    """The environment in which smoke.sh finds the stand-ins, which are written to `folder`."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "pneumoctl").write_text(PNEUMOCTL)
    (programs / "pneumoctl").chmod(0o755)
    (folder / "boto3.py").write_text(BOTO3)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    ours = {"STAND_IN": str(folder), "SMOKE_WORK": str(folder / "work"), "PYTHONPATH": str(folder), "FAIL": fail}
    return {**os.environ, **ours, "PATH": path, **more}
