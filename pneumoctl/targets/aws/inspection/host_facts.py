"""What the hosts and the front door of a stack on aws report: all are asked at once, each with a time limit."""

import hashlib
import http.client
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import TypeVar, cast

from pneumoctl.errors import PneumoError, in_words, unexpected
from pneumoctl.hosts import configure, units
from pneumoctl.hosts.layout import ROOT
from pneumoctl.plan.steps import Step
from pneumoctl.ssh import first_boot
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Stack
from pneumoctl.targets.aws.configuration import certificate, desired
from pneumoctl.targets.common import api_warnings, health, ready

QUESTION_S = 20.0
FRONT_DOOR_S = 3.0
READINESS = ("api", "ui")  # services that say whether they are ready
# A mark or a link that is not there is a fact; whatever cannot be read ends the script with an error.
_ASK = """root=$1 mark=$2 links=$3; shift 3
boot= && if test -e "$mark"; then boot=$(head -c 200 "$mark") || exit; fi
printf 'boot=%s\\n' "$(printf %s "$boot" | tr '\\n' ' ')"
for one in $links; do
  target= && if test -L "$root/$one"; then target=$(readlink "$root/$one") || exit; fi
  printf '%s=%s\\n' "$one" "$target"
done
disk=$(df -P /) || exit
printf '%s\\n' "$disk" | awk 'END {sub("%", "", $5); print "disk=" $5}' || exit
awk '/^MemTotal/ {all = $2} /^MemAvailable/ {left = $2}
  END {print "memory=" int(100 - 100 * left / all)}' /proc/meminfo || exit
failed=$(systemctl list-units --failed --plain --no-legend) || exit
printf '%s\\n' "$failed" | awk 'NF {print "failed=" $1}' || exit
systemctl show --property=Id,ActiveState,SubState "$@"
"""
_READY = """for one in "$@"; do
  said=$(curl -s --max-time 4.5 -w ' %{http_code}' "${one#*=}" | tr -d '\\n')
  printf '%s %s\\n' "${one%%=*}" "$said"
done
"""  # longer than twice the 2 s after which the API gives up on Redis: another check may be under way

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class HostFacts:
    """What one host reports."""

    boot: str  # the result of its boot script, "ok" if that succeeded
    links: Mapping[str, str]  # desired.LINKS -> what they point to; without those that are missing
    disk: int  # percent in use
    memory: int
    units: Mapping[str, str]  # the units that should run -> active, inactive, failed, activating
    failed: tuple[str, ...]  # every failed unit of the host

    @property
    def releases(self) -> dict[str, str]:
        """Kind (api, web, model) -> the current release."""
        current = ((link, target) for link, target in self.links.items() if link.endswith("/current"))
        return {link.partition("/")[0]: target.removeprefix("releases/") for link, target in current}


def within(
    seconds: float, questions: Mapping[str, Callable[[], Answer]], longer: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Answer | PneumoError]:
    """The answers by name; the error for each question that failed or was not answered in time.

    `longer`: other time limits, by name. A late question keeps running in its thread, which does not delay the exit.
    """
    began, answers = time.monotonic(), dict[str, Answer | PneumoError]()
    time_limits = {name: longer.get(name, seconds) for name in questions}

    def ask(name: str, question: Callable[[], Answer]) -> None:
        try:
            answers[name] = question()
        except PneumoError as error:
            answers[name] = error
        except Exception as error:  # a thread's traceback would be printed into the table
            answers[name] = PneumoError(unexpected(error))

    threads = {
        name: threading.Thread(target=ask, args=(name, question), daemon=True) for name, question in questions.items()
    }
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, began + time_limits[name] - time.monotonic()))
    in_time = dict(answers)  # a copy: late answers are still added
    return {name: in_time.get(name, PneumoError(f"no answer within {time_limits[name]:g} s")) for name in questions}


def see(agents: Agents, host: Host, backups: bool = False) -> HostFacts:
    """Get the facts of one host with one request, with `backups` of their timer, too. Raises ssh.Unreachable."""
    argv = ("sh", "-c", _ASK, "sh", ROOT, first_boot.MARK, " ".join(desired.LINKS), *units.of(host, backups))
    return parse(agents.read_output(host, argv, "reading its state", QUESTION_S))


def readiness_urls(host: Host) -> dict[str, str]:
    """Service -> the URL at which it says whether it is ready."""
    services = {name: port for name, port in (host.services or {}).items() if name in READINESS}
    return {name: f"http://{host.address}:{port}/readyz" for name, port in services.items()}


@dataclass(frozen=True)
class Readiness:
    """What the services of a host say: which is not ready, and why; a store that is nearly full; a wrong clock."""

    not_ready: Mapping[str, str] = field(default_factory=dict)
    store_warning: str = ""
    clock_warning: str = ""


def readiness(agents: Agents, host: Host) -> Readiness:
    """What the services of a host say of themselves. Raises ssh.Unreachable."""
    pages = (f"{name}={url}" for name, url in readiness_urls(host).items())
    output = agents.read_output(host, ("sh", "-c", _READY, "sh", *pages), "asking its services", QUESTION_S)
    answers = (line.strip().partition(" ") for line in output.splitlines())
    said = {service: answer for service, _, answer in answers}
    reasons = {service: reason for service, answer in said.items() if (reason := _reason(answer))}
    api = _document(said.get("api", ""))
    return Readiness(reasons, api_warnings.of_store(api), api_warnings.of_clock(api))


def parse(output: str) -> HostFacts:
    """Parse the output of the script that gathers the facts."""
    facts: dict[str, str] = {}
    states: dict[str, str] = {}
    failed: list[str] = []
    unit: dict[str, str] = {}
    for line in (*output.splitlines(), ""):
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
    percent: dict[str, int] = {name: int(facts.get(name) or -1) for name in ("disk", "memory")}
    return HostFacts(facts.get("boot", ""), links, percent["disk"], percent["memory"], states, tuple(failed))


def _reason(answer: str) -> str:
    """Why a service is not ready: empty if its answer, the document and the HTTP status, is 200."""
    code = answer.rpartition(" ")[2]
    if code == "200":
        return ""
    if code in ("", "000"):
        return "no answer"
    document = _document(answer)
    return ready.reason(document) if document else f"it answers {code}"


def _document(answer: str) -> dict[str, object]:
    """The document in an answer; empty if there is none."""
    try:
        document = json.loads(answer.rpartition(" ")[0])
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def steps(
    settings: Settings, stack: Stack, host: Host, seen: HostFacts, releases: desired.AvailableReleases
) -> list[Step]:
    """The steps of `configure` on one host, with the releases that are current there."""
    inventory = stack.hosts()
    if inventory is None:
        return []
    links = {host.name: seen.links}
    choice = desired.ReleaseChoice(releases, links, update=())
    plan = configure.plan(desired.desired_state(stack, settings, replace(inventory, hosts=(host,)), choice))
    return [step for step in plan.steps if host.name in step.hosts and not step.check and not step.needed_by]


def _status(connection: http.client.HTTPSConnection, path: str) -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def check_front_door(door: health.WebEndpoint) -> float:
    """Request the login from the front door, as its users do; returns the days until its certificate expires.

    Negative: it has expired. Raises PneumoError unless the login is shown, and nothing but the login.
    """
    address = urllib.parse.urlsplit(door.url)
    try:
        trusted = ssl.create_default_context()
        if door.fingerprint:  # this certificate is expected, whoever signed it
            trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=FRONT_DOOR_S, context=trusted
        )
        try:
            connection.connect()
            shown = cast(ssl.SSLSocket, connection.sock).getpeercert(binary_form=True) or b""
            if door.fingerprint not in ("", hashlib.sha256(shown).hexdigest()):
                raise PneumoError("the front door shows another certificate than the stack's")
            login, page = _status(connection, "/login"), _status(connection, "/")
        finally:
            connection.close()
    except ssl.SSLCertVerificationError as error:
        raise PneumoError(f"the certificate of the front door was not accepted: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        raise PneumoError(f"the front door does not answer: {in_words(error)}") from error
    if login != HTTPStatus.OK:
        raise PneumoError(f"the front door answers {login}")
    if page == HTTPStatus.OK:
        raise PneumoError("the front door shows the page to people who are not logged in", "pneumoctl up")
    now, pem = datetime.now(UTC), ssl.DER_cert_to_PEM_cert(shown).encode()
    if not certificate.begun(pem, now):
        raise PneumoError(
            "the certificate of the front door is not valid yet", "compare this machine's clock with that of nginx"
        )
    return certificate.days_left(pem, now)
