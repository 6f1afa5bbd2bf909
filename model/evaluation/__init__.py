"""Metrics, confidence intervals, calibration and plots."""
