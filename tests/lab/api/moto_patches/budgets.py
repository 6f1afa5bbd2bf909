"""Budgets: calls of terraform's provider that moto lacks."""

import json
from typing import Any

from moto.budgets.responses import BudgetsResponse

from tests.lab.api.moto_patches.patch import replaces

_tags: dict[str, Any] = {}


@replaces(BudgetsResponse, "create_budget")
def create(original: Any, self: Any) -> str:
    """Create a budget and store its tags (moto does not store them)."""
    _tags[self._get_param("Budget")["BudgetName"]] = self._get_param("ResourceTags") or []
    return str(original(self))


@replaces(BudgetsResponse, "list_tags_for_resource")
def list_tags(original: Any, self: Any) -> str:
    """List the tags of a budget (moto lacks the call)."""
    return json.dumps({"ResourceTags": _tags.get(self._get_param("ResourceARN").rpartition("/")[2], [])})


@replaces(BudgetsResponse, "describe_subscribers_for_notification")
def subscribers(original: Any, self: Any) -> str:
    """List the subscribers of a notification (moto lacks the call)."""
    asked = self._get_param("Notification")
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    for notification in budget.notifications:
        if all(notification.details.get(key) == value for key, value in asked.items() if key in notification.details):
            return json.dumps({"Subscribers": notification.subscribers})
    return json.dumps({"Subscribers": []})
