"""All that a person or a JSON reader sees."""
