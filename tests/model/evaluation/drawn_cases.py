"""Labels and probabilities drawn at random, for tests of figures."""

import numpy as np


def drawn(seed: int, positives: int, negatives: int, shift: float = 1.0, digits: int = 6) -> tuple:
    """Labels and probabilities with an AUC of about Phi(shift / sqrt 2); few digits make many ties."""
    dice = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    logits = dice.normal(0, 1, len(labels)) + shift * labels
    return labels, np.round(1 / (1 + np.exp(-logits)), digits)
