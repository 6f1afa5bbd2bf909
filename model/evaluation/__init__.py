"""Figures, intervals, calibration and plots."""
