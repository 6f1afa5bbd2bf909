"""The lease of a GPU host, and the host's state."""

from datetime import timedelta

from pneumoctl.aws.ec2 import Aws, Instance
from pneumoctl.gpu import scheduled_stop

RUN = "20261123-061500-a1b2"


def lease(aws: Aws, host: Instance, minutes: int = 60) -> None:
    scheduled_stop.arm(aws, "watch", RUN, host, scheduled_stop.now(aws) + timedelta(minutes=minutes))


def state(aws: Aws, host: Instance) -> str:
    return aws.states([host.id])[host.id]
