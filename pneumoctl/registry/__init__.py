"""Trained models: stored, compared, promoted."""
