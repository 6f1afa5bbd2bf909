"""Ask whether services are ready, and describe the prediction that proves it. Loads nothing that draws or scores."""

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from model.serving import words
from model.serving.prediction import current
from pneumoctl.errors import in_words
from pneumoctl.targets.common.unix_http import UnixConnection

_CHECKS = {  # of the API -> what it means if one fails
    "store": "uploads cannot be stored",
    "known_picture": "the known picture does not score as it did at export",
}


def ready(url: str, timeout: float = 3.0, socket: Path | None = None) -> tuple[bool, dict[str, Any]]:
    """Whether a readiness URL answers 200, and its JSON document, which gives the reason if it does not.

    The URL is http and has no query. With `socket`, the request goes to that Unix socket.
    """
    host, path = urlsplit(url)[1:3]
    try:
        made = UnixConnection(socket, timeout, host) if socket else HTTPConnection(host, timeout=timeout)
        with closing(made) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            document = json.loads(answer.read())
    except (FileNotFoundError, ConnectionRefusedError):
        return False, {"detail": "it does not run: nothing listens at its address"}
    except (OSError, HTTPException, ValueError) as error:
        reason = "its answer is not JSON" if isinstance(error, ValueError) else in_words(error)
        return False, {"detail": f"no valid answer: {reason}"}
    return answer.status == 200, document if isinstance(document, dict) else {}


def reason(document: Mapping[str, Any]) -> str:
    """Why a service is not ready, from the document of its readiness URL."""
    checks = document.get("checks")
    rows = checks.items() if isinstance(checks, Mapping) else ()
    failed = [(name, row.get("fault")) for name, row in rows if isinstance(row, Mapping) and not row.get("ok", True)]
    said = "; ".join(f"{_CHECKS.get(name, name)} ({fault})" for name, fault in failed)
    return said or str(document.get("detail", "")) or "it gives no reason"


def proof(prediction: Mapping[str, Any], door: str) -> str:
    """One line about the prediction that proves that a stack serves."""
    model = prediction["model"]
    place = words.finding(current(prediction))  # the page may be of an earlier version
    return (
        f"proof: a drawn radiograph through the {door}: P(pneumonia) {prediction['probability']:.3f} is {place} "
        f"(threshold {prediction['threshold']:.3f}), model {model['name']} {model['version']}"
    )


def other_model(prediction: Mapping[str, Any], promoted: str, remedy: str) -> list[str]:
    """A line if another model than the promoted one serves, with what serves the promoted one."""
    serves = f"{prediction['model']['name']}-{prediction['model']['version']}"
    return [] if serves == promoted else [f"{serves} serves, not the promoted model {promoted}; to serve it: {remedy}"]
