"""The store of the API: what is stored in Redis, and how it is sealed, listed and copied."""
