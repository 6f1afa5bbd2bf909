"""DICOMweb STOW-RS (PS3.18 10.5): an answer of success says that the film is queued, and is on the disk of Redis."""

import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, request

from webapp import dicom
from webapp.api.identity import acting
from webapp.api.problems import RETRY_AFTER, problem
from webapp.api.received import related
from webapp.api.received.instance import Instance, NotTaken, read
from webapp.api.services import Services, services
from webapp.api.storage.errors import Missing, StoreUnavailable

log = logging.getLogger(__name__)
dicomweb = Blueprint("dicomweb", __name__, url_prefix="/dicomweb")


@dataclass
class _Outcome:
    stored: list[Instance] = field(default_factory=list)
    failed: list[NotTaken] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The HTTP status: 200 all are stored, 202 some, 503 none now, 409 none ever."""
        if self.stored:
            return 202 if self.failed else 200
        return 503 if all(each.reason == dicom.OUT_OF_RESOURCES for each in self.failed) else 409


@dicomweb.post("/studies")
def store() -> Response:
    """Queue the instances of a multipart/related body; those that are queued or scored already are a success, too."""
    outcome = _Outcome()
    with services().uploads.slot():
        limit = related.boundary(request.headers.get("Content-Type", ""))
        for content in related.parts(request.get_data(cache=False, parse_form_data=False), limit):
            try:
                outcome.stored.append(_store(services(), content))
            except NotTaken as error:
                outcome.failed.append(error)
    response = Response(json.dumps(_document(outcome)), outcome.status, content_type=dicom.JSON_TYPE)
    if outcome.status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _store(current: Services, content: bytes) -> Instance:
    instance = read(content)
    try:
        name = instance.file(current.pseudonyms)
        identifier = current.scorer.identity(hashlib.sha256(content).hexdigest(), name)
        try:
            current.store.get(identifier)
        except Missing:
            current.store.queue.put(content, name, *_sender())
    except StoreUnavailable as error:
        log.warning("a film was not taken in: %s", error)
        raise NotTaken(dicom.OUT_OF_RESOURCES, instance) from error
    except Exception as error:
        problem(error)  # logs it
        raise NotTaken(dicom.PROCESSING_FAILURE, instance) from error
    return instance


def _sender() -> tuple[str, str]:
    """The name of the client's token; with the stack's own one, the AE title that the receiver heard."""
    actor = acting()
    if actor.kind == "token":
        return actor.name, ""
    return "", dicom.clean_title(request.headers.get(dicom.CALLING_HEADER, ""))


def _document(outcome: _Outcome) -> dict[str, Any]:
    """The Store Instances Response Module (PS3.18 I.1). What is stored cannot be retrieved by DICOMweb."""
    document: dict[str, Any] = {dicom.RETRIEVE_URL: {"vr": "UR"}}
    if outcome.failed:
        rows = [
            {**_reference(each.instance), dicom.FAILURE_REASON: {"vr": "US", "Value": [each.reason]}}
            for each in outcome.failed
        ]
        document[dicom.FAILED] = {"vr": "SQ", "Value": rows}
    if outcome.stored:
        rows = [{**_reference(each), dicom.RETRIEVE_URL: {"vr": "UR"}} for each in outcome.stored]
        document[dicom.STORED] = {"vr": "SQ", "Value": rows}
    return document


def _reference(instance: Instance) -> dict[str, Any]:
    """Its UIDs, as far as they could be read."""
    uids = {dicom.REFERENCED_CLASS: instance.sop_class, dicom.REFERENCED_INSTANCE: instance.sop_instance}
    return {tag: {"vr": "UI", "Value": [uid]} if uid else {"vr": "UI"} for tag, uid in uids.items()}
