"""The machine images of the lab's AWS, also ones that must not be chosen, and the SSM parameters that name them."""

from dataclasses import dataclass
from datetime import datetime

DEBIAN = "136693071363"
DEBIAN_DAILY = "903794441882"
AMAZON = "898082745236"
STRANGER = "999988887777"  # anyone may publish an image under any name

OSS = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)"  # g4dn, g5, p4 and later
PROPRIETARY = "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 22.04)"  # for Volta (p3)


@dataclass(frozen=True)
class Image:
    """A machine image. `gigabytes`: the size of its root snapshot, the minimum for a root disk."""

    id: str
    name: str
    owner: str
    created: datetime
    gigabytes: int
    architecture: str = "x86_64"
    device: str = "/dev/xvda"
    state: str = "available"


def _debian(
    number: int, date: str, architecture: str = "amd64", owner: str = DEBIAN, prefix: str = "debian-12"
) -> Image:
    kind = {"amd64": "x86_64", "arm64": "arm64"}[architecture]
    created = datetime.strptime(date, "%Y%m%d-%H%M")
    return Image(f"ami-0deb{number:013d}", f"{prefix}-{architecture}-{date}", owner, created, 8, kind)


def _learning(number: int, name: str, date: str) -> Image:
    return Image(
        f"ami-0d1a{number:013d}", f"{name} {date}", AMAZON, datetime.strptime(date, "%Y%m%d"), 75, device="/dev/sda1"
    )


IMAGES = (
    _debian(1, "20240717-1811"),
    _debian(2, "20250316-2053"),
    _debian(3, "20250814-2204"),
    _debian(4, "20250814-2204", "arm64"),
    _debian(5, "20250915-0100", owner=DEBIAN_DAILY, prefix="debian-12-daily"),
    Image("ami-0deb0000000000006", "debian-12-amd64-daily-20250916-2237", DEBIAN_DAILY, datetime(2025, 9, 16), 8),
    _debian(7, "20261001-0000", owner=STRANGER),
    _debian(8, "20250806-2200", prefix="debian-13"),
    _learning(1, OSS, "20240719"),
    _learning(2, OSS, "20250310"),
    _learning(3, OSS, "20250523"),
    _learning(4, PROPRIETARY, "20241025"),
    _learning(5, PROPRIETARY, "20250602"),
    _learning(8, PROPRIETARY, "20260310"),
    _learning(9, "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 20.04)", "20240611"),
    _learning(10, "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04)", "20260610"),
    _learning(6, "Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023)", "20250610"),
    _learning(7, "Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.6 (Ubuntu 22.04)", "20250602"),
)

LEARNING = "/aws/service/deeplearning/ami/x86_64"
PARAMETERS = {
    "/aws/service/debian/release/12/latest/amd64": "ami-0deb0000000000003",
    "/aws/service/debian/release/12/latest/arm64": "ami-0deb0000000000004",
    f"{LEARNING}/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id": "ami-0d1a0000000000003",
    f"{LEARNING}/base-proprietary-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id": "ami-0d1a0000000000008",
}


def named(image_id: str) -> Image | None:
    return next((image for image in IMAGES if image.id == image_id), None)
