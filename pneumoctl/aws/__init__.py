"""AWS as it is: API, instances, bucket, prices. No policy."""
