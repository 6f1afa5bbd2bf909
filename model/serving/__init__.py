"""Prediction and its explanation, without TensorFlow."""
