"""A stack's directory on this machine: settings, secrets, inventory, lock, journal, audit record, runs."""
