"""Budgets: the calls of the provider that moto lacks."""

import json
from typing import Any

from moto.budgets.responses import BudgetsResponse

from tests.lab.api.mends.patch import replaces

_tags: dict[str, Any] = {}


@replaces(BudgetsResponse, "create_budget")
def create(original: Any, self: Any) -> str:
    """moto: does not store the tags."""
    _tags[self._get_param("Budget")["BudgetName"]] = self._get_param("ResourceTags") or []
    return str(original(self))


@replaces(BudgetsResponse, "list_tags_for_resource")
def list_tags(original: Any, self: Any) -> str:
    """moto: missing."""
    return json.dumps({"ResourceTags": _tags.get(self._get_param("ResourceARN").rpartition("/")[2], [])})


@replaces(BudgetsResponse, "describe_subscribers_for_notification")
def subscribers(original: Any, self: Any) -> str:
    """moto: missing."""
    wanted = self._get_param("Notification")
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    for notification in budget.notifications:
        if all(notification.details.get(key) == value for key, value in wanted.items() if key in notification.details):
            return json.dumps({"Subscribers": notification.subscribers})
    return json.dumps({"Subscribers": []})
