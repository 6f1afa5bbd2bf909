"""What the hosts of a stack on aws say of themselves: all are asked at once, and none is waited for beyond a limit."""

import hashlib
import http.client
import ssl
import threading
import time
import urllib.parse
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeVar, cast

from pneumoctl.errors import PneumoError
from pneumoctl.hosts import configure, units
from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan.steps import Step
from pneumoctl.ssh import first_boot
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.stack.inventory import Host, Inventory
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws import certificate, desired
from pneumoctl.targets.common import health

QUESTION_S = 20.0
KNOCK_S = 3.0
_ASK = """root=$1 mark=$2 links=$3; shift 3
printf 'boot=%s\\n' "$(head -c 200 "$mark" 2>/dev/null | tr '\\n' ' ')"
for one in $links; do printf '%s=%s\\n' "$one" "$(readlink "$root/$one")"; done
df -P / | awk 'END {sub("%", "", $5); print "disk=" $5}'
awk '/^MemTotal/ {all = $2} /^MemAvailable/ {left = $2} END {print "memory=" int(100 - 100 * left / all)}' /proc/meminfo
for one in $(systemctl list-units --failed --plain --no-legend | cut -d" " -f1); do printf 'failed=%s\\n' "$one"; done
systemctl show --property=Id,ActiveState,SubState "$@"
"""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Seen:
    """One host, as it says."""

    boot: str  # what its boot script left, "ok" when that ended well
    links: Mapping[str, str]  # desired.LINKS -> what they point to, those that there are
    disk: int  # percent in use
    memory: int
    units: Mapping[str, str]  # those that should run -> active, inactive, failed, activating
    failed: tuple[str, ...]  # every unit that failed, ours or not

    @property
    def releases(self) -> dict[str, str]:
        """Kind (api, web, model) -> the release that serves."""
        current = ((link, target) for link, target in self.links.items() if link.endswith("/current"))
        return {link.partition("/")[0]: target.removeprefix("releases/") for link, target in current}


def within(
    seconds: float, questions: Mapping[str, Callable[[], Answer]], longer: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Answer | PneumoError]:
    """The answers that came in time, by name; for the others the error why not. `longer`: who is waited for how long.

    A question that takes longer goes on in its thread, which keeps nobody from ending.
    """
    began, answers = time.monotonic(), dict[str, Answer | PneumoError]()
    patience = {name: longer.get(name, seconds) for name in questions}

    def ask(name: str, question: Callable[[], Answer]) -> None:
        try:
            answers[name] = question()
        except PneumoError as error:
            answers[name] = error
        except Exception as error:  # a thread's traceback would be printed into the table
            answers[name] = PneumoError(f"{type(error).__name__}: {error}")

    threads = {name: threading.Thread(target=ask, args=(name, one), daemon=True) for name, one in questions.items()}
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, began + patience[name] - time.monotonic()))
    known = dict(answers)
    return {name: known.get(name, PneumoError(f"no answer within {patience[name]:g} s")) for name in questions}


def see(agents: Agents, host: Host) -> Seen:
    """Ask one host, in one round trip. Raises ssh.Unreachable."""
    argv = ("sh", "-c", _ASK, "sh", ROOT, first_boot.MARK, " ".join(desired.LINKS), *units.of(host))
    return read(agents.run(host, argv, QUESTION_S).stdout)


def read(said: str) -> Seen:
    """What a host said."""
    facts: dict[str, str] = {}
    states: dict[str, str] = {}
    failed: list[str] = []
    unit: dict[str, str] = {}
    for line in (*said.splitlines(), ""):
        name, _, value = line.partition("=")
        if name in ("Id", "ActiveState", "SubState"):
            unit[name] = value
        elif name == "failed":
            failed.append(value)
        elif name:
            facts[name] = value.strip()
        elif unit:
            states[unit["Id"].removesuffix(".service")] = unit["ActiveState"]
            unit = {}
    links = {link: facts[link] for link in desired.LINKS if facts.get(link)}
    percent: dict[str, int] = {one: int(facts.get(one) or -1) for one in ("disk", "memory")}
    return Seen(facts.get("boot", ""), links, percent["disk"], percent["memory"], states, tuple(failed))


def steps(settings: Settings, stack: Stack, host: Host, seen: Seen, brought: desired.Ours) -> list[Step]:
    """Those that make a host what it should be, with the releases that serve there."""
    known = stack.hosts()
    if known is None:
        return []
    links = {host.name: seen.links}
    choice = desired.ReleaseChoice(brought, links, update=())
    plan = configure.plan(desired.desired_state(stack, settings, replace(known, hosts=(host,)), choice))
    return [one for one in plan.steps if host.name in one.hosts and not one.check and not one.needed_by]


def brought(settings: Settings, stack: Stack, known: Inventory) -> desired.Ours | None:
    """Our releases, to compare the hosts with; None where the plan would first make a certificate.

    Who only looks makes nothing, and hosts with no certificate yet, or an old one, differ in any case.
    """
    try:
        names = (known.bastion.public_address, *((settings.domain,) if settings.domain else ()))
        if not settings.certificate and not certificate.fits(_certificate(stack), names, datetime.now(UTC)):
            return None
        return desired.ours(settings)
    except (OSError, ValueError, PneumoError):
        return None


def door(settings: Settings, stack: Stack, known: Inventory) -> health.Door:
    """As desired.front_door, with the certificate that was brought there, however old. PneumoError without one."""
    if settings.certificate or settings.acme_email:
        return desired.front_door(stack, settings, known)
    secrets = stack.secrets()
    try:
        shown = certificate.fingerprint(_certificate(stack))
    except (OSError, ValueError) as error:
        raise PneumoError("the front door is not configured yet") from error
    login = (desired.LOGIN, secrets.web_password) if secrets else None
    return health.Door(f"https://{known.bastion.public_address}", shown, login)


def _certificate(stack: Stack) -> bytes:
    return (stack.directory / "tls" / certificate.CERTIFICATE).read_bytes()


def knock(door: health.Door) -> float:
    """Ask the front door for the page, as its users do; returns the days that its certificate has left.

    PneumoError unless it shows the page.
    """
    address = urllib.parse.urlsplit(door.url)
    head = {"Authorization": f"Basic {b64encode(':'.join(door.login).encode()).decode()}"} if door.login else {}
    try:
        trusted = ssl.create_default_context()
        if door.fingerprint:  # it is that very certificate, whoever vouches for it
            trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
        asking = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=KNOCK_S, context=trusted)
        try:
            asking.connect()
            shown = cast(ssl.SSLSocket, asking.sock).getpeercert(binary_form=True) or b""
            if door.fingerprint not in ("", hashlib.sha256(shown).hexdigest()):
                raise PneumoError("the front door shows another certificate than the stack's")
            asking.request("GET", "/", headers=head)
            code = asking.getresponse().status
        finally:
            asking.close()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "verify_message", "") or str(error) or type(error).__name__
        raise PneumoError(f"the front door does not answer: {why}") from error
    if code != 200:
        raise PneumoError(f"the front door answers {code}")
    return certificate.days_left(ssl.DER_cert_to_PEM_cert(shown).encode(), datetime.now(UTC))
