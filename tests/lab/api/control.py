"""The lab's own HTTP interface, on the same port as AWS. All documents are JSON.

GET    /lab/health                      200 as soon as the lab's AWS is ready
GET    /lab/calls?since=N&mutating=true {"total", "mutating", "reading", "last", "calls": [...]} of the calls after N
GET    /lab/calls/last                  {"last"}: the number of the last call, to ask for those after it
POST   /lab/calls/reset                 reset the counts
GET    /lab/instances                   the state of each instance, by id
GET    /lab/faults                      the active faults, with how many calls each has matched (`matched`)
POST   /lab/faults                      switch a fault on (see `faults`); answers with its id
DELETE /lab/faults, /lab/faults/ID      switch all faults off, or one
GET    /lab/clock                       {"now", "fired": [...]}: the scheduler's clock and the schedules that it ran
DELETE /lab/terminated                  forget the terminated instances, as EC2 does after an hour
POST   /lab/clock {"forward": SECONDS}  put the scheduler's clock forward, so that a schedule hours ahead is due
"""

import json
import os
from collections.abc import Callable
from urllib.parse import parse_qs

from moto.ec2.models import ec2_backends

from tests.lab.api.answers import Answer, document
from tests.lab.api.request import Request
from tests.lab.api.state import ApiState

PREFIX = "/lab/"


def answer(state: ApiState, request: Request) -> Answer:
    resource, _, rest = request.path.removeprefix(PREFIX).partition("/")
    act = ACTIONS.get((request.method, resource))
    if act is None:
        return document(404, {"error": f"no {request.method} {request.path} here"})
    try:
        return document(200, act(state, request, rest))
    except (ValueError, TypeError, KeyError) as wrong:
        return document(400, {"error": str(wrong)})


def _health(state: ApiState, request: Request, rest: str) -> object:
    return {"ok": True, "pid": os.getpid()}


def _calls(state: ApiState, request: Request, rest: str) -> object:
    if rest == "last":
        return {"last": state.calls.last}
    asked = {key: values[-1] for key, values in parse_qs(request.query).items()}
    mutating = {"true": True, "false": False}.get(asked.get("mutating", ""))
    return state.calls.report(int(asked.get("since", 0)), mutating)


def _reset(state: ApiState, request: Request, rest: str) -> object:
    if rest != "reset":
        raise ValueError("POST /lab/calls/reset")
    state.calls.reset()
    return {"total": 0}


def _instances(state: ApiState, request: Request, rest: str) -> object:
    with state.lock:
        backends = [backend for _, _, backend in ec2_backends.iter_backends()]
        return {instance.id: instance.state for backend in backends for instance in backend.all_instances()}


def _faults(state: ApiState, request: Request, rest: str) -> object:
    return state.faults.listed()


def _fault(state: ApiState, request: Request, rest: str) -> object:
    fault = json.loads(request.body)
    if not isinstance(fault, dict):
        raise ValueError("a fault is an object with a kind")
    return {"id": state.faults.add(fault).id}


def _no_fault(state: ApiState, request: Request, rest: str) -> object:
    return {"gone": state.faults.clear(int(rest) if rest else None)}


def _clock(state: ApiState, request: Request, rest: str) -> object:
    return state.clock.report()


def _forward(state: ApiState, request: Request, rest: str) -> object:
    state.clock.advance(float(json.loads(request.body)["forward"]))
    return state.clock.report()


def _forget_terminated(state: ApiState, request: Request, rest: str) -> object:
    with state.lock:
        backends = [backend for _, _, backend in ec2_backends.iter_backends()]
        gone = [
            (backend.reservations, id)
            for backend in backends
            for id, reservation in backend.reservations.items()
            if all(instance.state == "terminated" for instance in reservation.instances)
        ]
        for reservations, id in gone:
            del reservations[id]
    return {"gone": len(gone)}


ACTIONS: dict[tuple[str, str], Callable[[ApiState, Request, str], object]] = {
    ("GET", "health"): _health,
    ("GET", "calls"): _calls,
    ("POST", "calls"): _reset,
    ("GET", "instances"): _instances,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _fault,
    ("DELETE", "faults"): _no_fault,
    ("DELETE", "terminated"): _forget_terminated,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _forward,
}
