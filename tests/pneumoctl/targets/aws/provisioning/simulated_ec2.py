"""An EC2 with a GPU host and a web host, whose states and faults a test sets."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pneumoctl.aws.ec2 import Instance
from pneumoctl.errors import Exit, PneumoError

GPU = Instance("i-1", "train", "train", "running", "g5.xlarge", datetime.now(UTC), "10.20.32.10", "")
WEB = replace(GPU, id="i-2", name="web-0", role="web")


@dataclass
class Ec2:
    """An account whose GPU host says `mark` on its console after `boots` looks, and powers itself off after `ends`."""

    boots: int = 0
    ends: int = 10**6
    looks: int = 0
    stopped: list[str] = field(default_factory=list)
    refuses: bool = False
    away: BaseException | None = None
    mute: bool = False
    region: str = "eu-west-1"
    profile: str = "work"

    def instances(self, stack: str) -> list[Instance]:
        self.looks += 1
        if self.away:
            raise self.away
        return [WEB, replace(GPU, state="stopped" if self.looks > self.ends else "running")]

    def console_output(self, instance_id: str) -> str:
        if self.mute:
            raise PneumoError("AWS denies ec2:GetConsoleOutput")
        return "pneumoctl-boot: ok\n" if self.looks > self.boots else "booting\n"

    def stop(self, hosts: list[Instance]) -> None:
        if self.refuses:
            raise PneumoError("not confirmed stopped", "aws ec2 stop-instances", Exit.GPU_NOT_STOPPED)
        self.stopped += [host.id for host in hosts]
