"""The classifier: data, network, training, evaluation, bundles and prediction, usable alone."""
