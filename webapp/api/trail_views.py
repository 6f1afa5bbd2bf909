"""The route of the trail of clinical acts."""

import re

from flask import Blueprint, Response, jsonify, request

from webapp.api.problems import Problem
from webapp.api.services import services
from webapp.documents import TrailPage

trail = Blueprint("trail", __name__, url_prefix="/v1")
MOST = 1000  # entries of one answer
_NUMBER = re.compile(r"[0-9]{1,15}")
_CHAIN = re.compile(r"(?:[0-9a-f]{32})?")


@trail.get("/trail")
def index() -> Response:
    """A part of the trail, oldest first: of the store's own one, or of an imported one."""
    chain, after, limit = _parameters()
    store = services().store
    head = store.trail.head(chain)
    if chain and not head.n:
        raise Problem(404, "not-found", "No trail of that name was imported.")
    following = after + limit
    document: TrailPage = {
        "entries": store.trail.page(after, limit, chain),
        "next": following if following < head.n else None,
        "head": {"n": head.n, "hash": head.hash},
    }
    return jsonify(document)


def _parameters() -> tuple[str, int, int]:
    """The trail, the number after which the part begins, and how many entries it has; raises Problem."""
    if unknown := [name for name in request.args if name not in ("after", "chain", "limit")]:
        raise Problem(400, "unknown-parameter", f"{unknown[0][:40]} is no parameter; there are: after, chain, limit.")
    after, limit, chain = (request.args.get(*each) for each in (("after", "0"), ("limit", "100"), ("chain", "")))
    if not _NUMBER.fullmatch(after):
        raise Problem(400, "bad-after", "after must be the number of an entry.")
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= MOST:
        raise Problem(400, "bad-limit", f"limit must be a number from 1 to {MOST}.")
    if not _CHAIN.fullmatch(chain):
        raise Problem(400, "bad-chain", "chain must be the name of an imported trail: 32 hexadecimal digits.")
    return chain, int(after), int(limit)
