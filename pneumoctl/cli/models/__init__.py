"""The verbs of `pneumoctl model` that measure: evaluate, compare, calibrate, claims."""
