"""Trained models: kept, compared, promoted."""
