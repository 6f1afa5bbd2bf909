"""One training run, on this machine or on the GPU host."""
