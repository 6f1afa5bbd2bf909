"""The users of a stack's web page and the tokens of its client programs, through the API."""
