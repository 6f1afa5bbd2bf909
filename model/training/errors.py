"""How a training run ends without a model; light, so that the command can handle them before TensorFlow is loaded."""


class TrainingError(Exception):
    """A run that must not end in a model; the message says why."""


class Collapsed(TrainingError):
    """The network gives nearly every validation picture the same class."""


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is on the disk."""
