"""An instance's user data: the scripts that cloud-init runs at its boot."""

import base64
import email
from collections.abc import Sequence
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

from pneumoctl.aws.api import Api

BOOTHOOK = "#cloud-boothook\n"  # begins a script that runs at every boot; others run at the end of the first boot only


def read(aws: Api, instance: str) -> bytes:
    """The user data of an instance; empty if it has none."""
    answer = aws.call("ec2", "describe_instance_attribute", InstanceId=instance, Attribute="userData")
    return base64.b64decode(answer["UserData"].get("Value", ""))


def split(user_data: bytes) -> list[str]:
    """The scripts in user data."""
    message = email.message_from_bytes(user_data)
    if not message.is_multipart():
        return [user_data.decode()] if user_data else []
    return [bytes(part.get_payload(decode=True)).decode() for part in message.walk() if not part.is_multipart()]


def join(scripts: Sequence[str]) -> bytes:
    """The user data with these scripts, which cloud-init runs in their order."""
    archive = MIMEMultipart()
    for script in scripts:
        archive.attach(MIMEText(script, "cloud-boothook" if script.startswith(BOOTHOOK) else "x-shellscript"))
    return archive.as_bytes()
