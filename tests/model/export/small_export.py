"""Where the small bundle of the tests comes from, as its manifest and plots show it."""

from model.bundling import provenance

ORIGIN = provenance.Origin(source="drawings", created="2026-01-01T00:00:00Z")
HISTORY = [{"loss": 1 / n, "val_loss": 1 / n, "val_auc": 0.9, "val_recall": 0.8} for n in (1, 2, 3)]
