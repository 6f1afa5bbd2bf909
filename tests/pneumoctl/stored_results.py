"""The results of a local stack in its Redis: read with the rights of the API, and damaged."""

import redis

from tests.pneumoctl.conftest import Operator


def as_api(operator: Operator) -> redis.Redis:
    """A client with the rights of the API."""
    inventory, secrets = operator.stack.inventory(), operator.stack.secrets()
    return redis.Redis(port=inventory.port("redis"), username="api", password=secrets.redis_password)


def damage(client: redis.Redis, identity: str) -> tuple[bytes, bytes]:
    """Damage the stored picture of a prediction; returns its key and the undamaged value."""
    (picture,) = (key for key in client.scan_iter("pneumo:*image*") if identity.encode() in key)
    whole = client.get(picture)
    client.set(picture, whole[:100] + b"damage" + whole[106:])
    return picture, whole
