"""Whether a result has a picture and can have a heat map, and if not, why."""

from model.serving.prediction import Prediction
from webapp.api.classifier import Scorer
from webapp.api.problems import Problem, problem
from webapp.api.storage.errors import PictureDamaged
from webapp.api.storage.records import Record
from webapp.api.storage.store import Store
from webapp.documents import Availability, Pictures


def pictures(store: Store, scorer: Scorer, identifier: str) -> Pictures:
    """What can be shown beside a result. Raises Missing or Damaged if the result itself cannot be shown."""
    record = store.get(identifier)
    missing = _no_picture(store, record)
    without = no_heatmap(scorer, record.prediction) or missing
    cached = without is not None and record.prediction["finding"] is not None and store.heatmap(identifier) is not None
    return {"picture": _availability(missing), "heatmap": _availability(None if cached else without)}


def picture(store: Store, record: Record) -> bytes:
    """The stored picture of a result; raises Problem if there is none, PictureDamaged if it is lost or damaged."""
    if record.image is None:
        decoded = record.prediction["input"] is not None
        reason = "it was not kept" if decoded else "the file could not be decoded"
        raise Problem(404, "no-picture", f"No picture is stored with this result: {reason}.")
    return store.picture(record.id)


def no_heatmap(scorer: Scorer, prediction: Prediction) -> Problem | None:
    """Why there can be no heat map of a result, if its picture is stored."""
    if prediction["finding"] is None:
        return Problem(404, "no-heatmap", "The picture was not assessed, so there is no heat map.")
    if prediction["model"]["version"] != scorer.version:
        return Problem(409, "model-changed", "Another model made this prediction; this one cannot explain it.")
    return None


def _no_picture(store: Store, record: Record) -> Problem | None:
    try:
        picture(store, record)
    except (Problem, PictureDamaged) as error:
        return problem(error)
    return None


def _availability(missing: Problem | None) -> Availability:
    return {
        "available": missing is None,
        "code": None if missing is None else missing.code,
        "reason": None if missing is None else missing.detail,
    }
