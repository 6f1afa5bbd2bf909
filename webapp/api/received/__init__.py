"""Films that arrive by themselves: taken in by STOW-RS, queued durably, scored in the background."""
