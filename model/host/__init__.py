"""What runs on a training host only: heartbeat, checkpoint upload, spot notice."""
