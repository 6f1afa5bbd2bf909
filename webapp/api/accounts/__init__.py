"""Who may use the API: users, their sessions and login attempts, and the tokens of client programs."""
