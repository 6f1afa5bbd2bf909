"""The published OpenAPI document: the routes of openapi.json, with the schemas derived from the document types."""

import json
from pathlib import Path
from typing import Any

from model.schema import Schema, schema
from model.serving.prediction import Caution, Finding, Identifier, Prediction, Refusal
from webapp import account_documents, documents
from webapp.api.intake import MAX_NAME

_ROUTES = Path(__file__).with_name("openapi.json")
_TYPES = {
    "Identifier": Identifier,
    "Prediction": Prediction,
    "Finding": Finding,
    "Refusal": Refusal,
    "Caution": Caution,
    "SameFile": documents.SameFile,
    "Source": documents.Source,
    "Created": documents.Created,
    "PartlyCreated": documents.PartlyCreated,
    "SentFile": documents.SentFile,
    "Page": documents.Page,
    "Position": documents.Position,
    "Availability": documents.Availability,
    "Pictures": documents.Pictures,
    "Entry": documents.Entry,
    "Place": documents.Place,
    "NewFeedback": documents.NewFeedback,
    "Feedback": documents.Feedback,
    "FeedbackList": documents.FeedbackList,
    "FailedFilm": documents.FailedFilm,
    "ReceivedFilms": documents.ReceivedFilms,
    "TrailEntry": documents.TrailEntry,
    "TrailHead": documents.TrailHead,
    "TrailItem": documents.TrailItem,
    "TrailPage": documents.TrailPage,
    "Check": documents.Check,
    "Readiness": documents.Readiness,
    "Problem": documents.Problem,
    "NewUser": account_documents.NewUser,
    "UserChange": account_documents.UserChange,
    "Link": account_documents.Link,
    "User": account_documents.User,
    "InvitedUser": account_documents.InvitedUser,
    "Users": account_documents.Users,
    "Login": account_documents.Login,
    "LinkLogin": account_documents.LinkLogin,
    "SessionUser": account_documents.SessionUser,
    "NewSession": account_documents.NewSession,
    "CurrentSession": account_documents.CurrentSession,
    "NewPassword": account_documents.NewPassword,
    "Password": account_documents.Password,
    "Code": account_documents.Code,
    "TotpSecret": account_documents.TotpSecret,
    "NewToken": account_documents.NewToken,
    "Token": account_documents.Token,
    "CreatedToken": account_documents.CreatedToken,
    "Tokens": account_documents.Tokens,
}


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 description of the API."""
    described: dict[str, Any] = json.loads(_ROUTES.read_text())
    described["components"]["schemas"] = _schemas()
    for operation in (each for item in described["paths"].values() for each in item.values()):
        if isinstance(operation, dict) and "401" in operation["responses"]:
            operation["responses"]["403"] = {"$ref": "#/components/responses/Forbidden"}
    return described


def _schemas() -> dict[str, Schema]:
    names = {hint: name for name, hint in _TYPES.items()}
    schemas = {name: schema(hint, names) for name, hint in _TYPES.items()}
    for name in ("Finding", "Refusal"):  # the command line's own documents may have longer names
        schemas[name]["properties"]["file"]["maxLength"] = MAX_NAME
    schemas["UserChange"]["minProperties"] = 1
    return schemas
