"""The program that hosts run: a zip of this package and what it imports of pneumoctl, sent once a command and host.

It is never installed. Debian 12's Python runs it without any site-packages: the standard library only. A short command
makes few requests, so each module imports only what its operations need, and `operations` imports a module on demand.
"""

STATE = "/var/lib/pneumoctl"  # what survives a reboot: the last token, records, the contents that an undo restores
RUNTIME = "/run/pneumoctl"  # leases and locks end with a reboot

TYPE_CHECKING = False  # hosts do not import typing: it would be a tenth of the CPU time of its start
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]
