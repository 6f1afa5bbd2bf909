"""The objects that the API's views use, created once per app."""

from dataclasses import dataclass, field

from flask import Flask, current_app

from model.serving.prediction import Choices
from webapp.api.accounts.proof import Accounts
from webapp.api.classifier import Scorer
from webapp.api.metrics import Metrics
from webapp.api.recent_views import RecentViews
from webapp.api.settings import ApiSettings
from webapp.api.storage.connection import connect
from webapp.api.storage.lists import ListedStore
from webapp.api.storage.seal import Seal
from webapp.api.storage.studies import Pseudonyms
from webapp.concurrency import ConcurrencyLimit

_NAME = "pneumo"


@dataclass(frozen=True)
class Services:
    """Settings, store, model, limits and metrics.

    `uploads` limits requests with files, from before the body is read, so that slow uploads count, too. The server
    needs more threads than this limit, so that it can still answer health probes and reject further uploads.
    `scoring` limits the pictures that are decoded at the same time, and with them the memory.
    """

    settings: ApiSettings
    store: ListedStore
    scorer: Scorer
    uploads: ConcurrencyLimit
    scoring: ConcurrencyLimit
    metrics: Metrics
    accounts: Accounts
    pseudonyms: Pseudonyms
    views: RecentViews = field(default_factory=RecentViews)

    @classmethod
    def open(cls, settings: ApiSettings) -> "Services":
        """Load the model; Redis is connected on first use."""
        scorer, metrics = Scorer(settings.bundle, settings.threads, Choices(settings.outside_use)), Metrics()
        metrics.begin(scorer.version)
        if (bins := scorer.validation_bins) is not None:
            metrics.expect(scorer.version, bins)
        seal = Seal(settings.store.mac_key, settings.store.mac_keys_previous)
        limits = settings.session_idle, settings.session_absolute
        store = ListedStore.open(settings.store)
        return cls(
            settings=settings,
            store=store,
            scorer=scorer,
            uploads=ConcurrencyLimit(settings.max_pending, retry_after=2),
            scoring=ConcurrencyLimit(settings.max_scoring, retry_after=5),
            metrics=metrics,
            accounts=Accounts.of(connect(settings.store), seal, *limits),
            pseudonyms=store.pseudonyms,
        )


def services() -> Services:
    """The services of the current app."""
    return current_app.extensions[_NAME]


def attach(app: Flask, instance: Services) -> None:
    """Make the services available to an app's views."""
    app.extensions[_NAME] = instance
