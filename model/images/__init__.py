"""From a file to the pixels that the network sees, or a refusal."""
