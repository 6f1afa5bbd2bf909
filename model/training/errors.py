"""Errors that end a training run without a model. This module does not import TensorFlow, so its import is cheap."""


class TrainingError(Exception):
    """The run ends without a model; the message says why."""


class Collapsed(TrainingError):
    """The network gives nearly every validation picture the same class."""


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is on the disk."""
