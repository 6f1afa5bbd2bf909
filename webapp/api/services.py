"""What the API's views work with, made once for an app."""

from dataclasses import dataclass

from flask import current_app

from webapp.api.classifier import Scorer
from webapp.api.metrics import Metrics
from webapp.api.settings import ApiSettings
from webapp.api.store import Store
from webapp.gate import Bound

_NAME = "pneumo"


@dataclass(frozen=True)
class Services:
    """Settings, store, model, bounds and metrics.

    `pending` is held by each request that brings files, from before its body is read: slow uploads count too.
    The server's threads must outnumber it, so that health probes are answered and others are told to wait.
    `turns` is held while a picture is decoded: what it bounds is memory.
    """

    settings: ApiSettings
    store: Store
    scorer: Scorer
    pending: Bound
    turns: Bound
    metrics: Metrics

    @classmethod
    def open(cls, settings: ApiSettings) -> "Services":
        """Loads the model; Redis is reached when first needed."""
        return cls(
            settings=settings,
            store=Store.open(settings.store),
            scorer=Scorer(settings.bundle, settings.threads),
            pending=Bound(settings.pending, retry_after=2),
            turns=Bound(settings.scoring, retry_after=5),
            metrics=Metrics(),
        )


def services() -> Services:
    """Those of the app that answers now."""
    return current_app.extensions[_NAME]


def attach(app: object, made: Services) -> None:
    """Give an app its services."""
    app.extensions[_NAME] = made  # type: ignore[attr-defined]
