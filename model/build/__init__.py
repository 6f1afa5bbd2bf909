"""A bundle from a finished training: export, provenance, known picture and card."""
