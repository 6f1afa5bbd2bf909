"""GetConsoleOutput: the real console output of the host."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.ec2.responses.general import General

from tests.lab.api.moto_patches.patch import replaces
from tests.lab.api.state import current_state

KEPT = 64 * 1024  # bytes, as in EC2


@replaces(General, "get_console_output")
def output(original: Any, self: Any) -> Any:
    """Return the end of the host's console output (moto returns a fixed text of 2006)."""
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    file = current_state().directory / "hosts" / instance.id / "console.log"
    if not file.is_file() or current_state().faults.applies("no-console", instance.id):
        return ActionResult({"InstanceId": instance.id, "Timestamp": datetime.now(UTC)})
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    text = Base64EncodedString.from_encoded_bytes(b64encode(file.read_bytes()[-KEPT:]))
    return ActionResult({"InstanceId": instance.id, "Timestamp": written, "Output": text})
