"""What the roles of users allow: read by the API, which decides, and by the page, which offers nothing else."""

from collections.abc import Mapping
from typing import Literal, get_args

from webapp.account_documents import Role

Scope = Literal["read", "predict", "review", "export", "dicom", "erase", "accounts"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
OF_ROLE: Mapping[Role, frozenset[str]] = {
    "reader": frozenset({"read"}),
    "reviewer": frozenset({"read", "predict", "review"}),
    "admin": frozenset(SCOPES),
}
