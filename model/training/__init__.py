"""The network, its training loop, checkpoints and reports."""
