"""The results in a stack's store: count, export and import them, on every target."""
