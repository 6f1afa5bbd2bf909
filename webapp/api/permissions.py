"""What each route of the API needs: a line an endpoint."""

from collections.abc import Mapping

# The scope of `webapp.roles.Scope` that the actor must have, or one of these:
PUBLIC = "public"  # no authentication
PAGE = "page"  # the stack's token, also before anybody has logged in
SELF = "self"  # a user with a session, whatever the role
NEEDED: Mapping[str, str] = {
    "health.livez": PUBLIC,
    "health.readyz": PUBLIC,
    "health.metrics": PUBLIC,
    "v1.openapi": PUBLIC,
    "v1.create": "predict",
    "v1.find": "predict",
    "v1.index": "read",
    "v1.show": "read",
    "v1.place": "read",
    "v1.small_picture": "read",
    "v1.picture": "read",
    "v1.heatmap": "read",
    "v1.available": "read",
    "v1.feedback": "read",
    "v1.add_feedback": "review",
    "v1.withdraw_feedback": "review",
    "v1.erase": "erase",
    "changes.position": "read",
    "dicomweb.store": "dicom",
    "films.view": "read",
    "received.index": "read",
    "received.retry": "predict",
    "received.discard": "erase",
    "sources.show": "read",
    "trail.index": "accounts",
    "accounts.index": "accounts",
    "accounts.create": "accounts",
    "accounts.change": "accounts",
    "accounts.remove": "accounts",
    "accounts.link": "accounts",
    "tokens.index": "accounts",
    "tokens.create": "accounts",
    "tokens.revoke": "accounts",
    "sessions.begin": PAGE,
    "sessions.current": SELF,
    "sessions.end": SELF,
    "sessions.end_all": SELF,
    "sessions.change_password": SELF,
    "sessions.begin_totp": SELF,
    "sessions.confirm_totp": SELF,
    "sessions.end_totp": SELF,
}
# What a route needs instead if its answer is to be written to a file (EXPORT_HEADER).
_EXPORTED: Mapping[str, str] = {"v1.index": "export"}
_UNLISTED = "accounts"  # of a route that was forgotten here: only for admins and the stack


def needed(endpoint: str, exported: bool = False) -> str:
    """What the route needs. `exported`: the answer is to be written to a file."""
    usual = NEEDED.get(endpoint, _UNLISTED)
    return _EXPORTED.get(endpoint, usual) if exported else usual
