"""Access to AWS: API, instances, bucket, prices. Decisions are made by the callers."""
