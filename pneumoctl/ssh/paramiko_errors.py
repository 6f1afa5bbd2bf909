"""The exceptions that paramiko raises, and a readable reason for each."""

from pneumoctl.ssh import keys


def ssh_errors() -> tuple[type[Exception], ...]:
    """The types of all connection errors."""
    from paramiko import SSHException

    return (SSHException, EOFError, OSError)


def reason(error: Exception) -> str:
    """A readable reason; paramiko has several messages for a time-out."""
    message = str(getattr(error, "text", "") or error)
    if isinstance(error, TimeoutError) or message in {"Timeout opening channel.", "No existing session"}:
        return f"no answer within {keys.CONNECT} s"
    return message or "the connection ended"
