"""Code that only runs on a training host: heartbeat, checkpoint upload, spot interruption notice."""
