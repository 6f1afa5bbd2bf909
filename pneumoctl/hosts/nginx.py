"""The steps for the front door: nginx with TLS and upstreams, and draining a web host there."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace

from pneumoctl.hosts.desired import DesiredState
from pneumoctl.hosts.layout import ETC
from pneumoctl.hosts.steps import answers, link_matches, service, staged
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Link, Probe, Put, Run, Service, Step, file_matches
from pneumoctl.stack.inventory import Host


@dataclass(frozen=True)
class Upstream:
    """A web host behind nginx; nginx sends no requests to it while it is `down`."""

    address: str
    port: int
    down: bool = False


CONFIG = "/etc/nginx/nginx.conf"
OWN, CURRENT = f"{ETC}/tls/own", f"{ETC}/tls/current"
CERTIFICATE, KEY = "fullchain.pem", "privkey.pem"  # the names that Let's Encrypt uses
CHANGED = f"{ETC}/certificate-changed"
_HTPASSWD = f"{ETC}/htpasswd"  # of the shared login
CHALLENGES = "/var/www/pneumoctl-acme"

_CHANGED = Run((CHANGED,), title="reload nginx and update the certificate's expiry metric")


def server_names(desired: DesiredState) -> tuple[str, ...]:
    """The names in the URLs of the page."""
    domain = desired.settings.domain
    return (desired.inventory.bastion.public_address, *((domain,) if domain else ()))


def _web_hosts(desired: DesiredState) -> list[Host]:
    return [host for host in desired.inventory.hosts if host.role == "web"]


def _conf(desired: DesiredState, down: Collection[str] = (), shared_login: bool = False) -> Put:
    """nginx's complete configuration; the web hosts `down` get no requests.

    `shared_login`: nginx goes on to ask for the login of an earlier release, whose page asks for none.
    """
    web = _web_hosts(desired)
    text = render(
        "nginx/nginx.conf",
        server_names=server_names(desired),
        upstreams=tuple(Upstream(host.address, (host.services or {})["ui"], host.name in down) for host in web),
        max_upload_mb=desired.settings.max_upload_mb,
        certificate=f"{CURRENT}/{CERTIFICATE}",
        key=f"{CURRENT}/{KEY}",
        htpasswd=_HTPASSWD if shared_login else "",
        acme=bool(desired.settings.acme_email),
    )
    return Put(text, CONFIG, 0o644, group="root")


def steps(desired: DesiredState, after: tuple[str, ...] = ()) -> list[Step]:
    """Certificate and configuration of nginx, and its metrics exporter.

    `after`: ids of the steps that switch the web hosts. A shared login ends only when every page asks for one itself.
    """
    host = desired.inventory.bastion.name
    config = _conf(desired)
    test = Probe(("nginx", "-q", "-t", "-c", staged(config.path)), 30, "nginx -t")
    exporter = Put(
        render("default/prometheus-nginx-exporter"), "/etc/default/prometheus-nginx-exporter", 0o644, group="root"
    )
    configure = service(
        "Configure the front door",
        host,
        "nginx",
        (config,),
        (test, *((_every_page_asks(desired),) if desired.shared_login else ())),
        (answers("http://127.0.0.1:8081/stub_status", seconds=10),),  # the exporter reads it
        verb="reload",
        salt=hashlib.sha256(desired.certificate.encode()).hexdigest(),
    )
    return [
        _keys(desired, host),
        replace(configure, after=after if desired.shared_login else ()),
        _end_shared_login(host),
        *([_acme(desired, host)] if desired.settings.acme_email else ()),
        service("Configure the nginx exporter", host, "prometheus-nginx-exporter", (exporter,)),
    ]


def _keys(desired: DesiredState, host: str) -> Step:
    """nginx uses our certificate until there is one from Let's Encrypt, and again if Let's Encrypt is switched off."""
    files = (
        Put(desired.certificate, f"{OWN}/{CERTIFICATE}", 0o644, group="root"),
        Put(desired.key, f"{OWN}/{KEY}", 0o600, secret=True, group="root"),
        Put(render("nginx/certificate-changed", certificate=f"{CURRENT}/{CERTIFICATE}"), CHANGED, 0o755, group="root"),
    )
    link = Link(CURRENT, OWN)
    probes = tuple(file_matches(file) for file in files)
    title = "Install the certificate of the front door"
    if desired.settings.acme_email:
        first = Run(("sh", "-c", 'test -e "$1" || ln -sfn "$2" "$1"', "sh", CURRENT, OWN), title="use our certificate")
        return Step(title, (host,), (*files, first, _CHANGED), (*probes, Probe(("test", "-e", CURRENT))))
    return Step(title, (host,), (*files, link, _CHANGED), (*probes, link_matches(link)))


def _every_page_asks(desired: DesiredState) -> Probe:
    pages = [f"http://{host.address}:{(host.services or {})['ui']}/" for host in _web_hosts(desired)]
    return Probe(("sh", "-c", _ASKS_FOR_LOGIN, "sh", *pages), 30 * len(pages), "every web host asks for a login")


_ASKS_FOR_LOGIN = """for url in "$@"; do
  code=$(curl -s -o /dev/null --max-time 20 -w '%{http_code}' "$url")
  case $code in
    302|303|401) ;;
    000) echo "$url gives no answer, so the shared login stays: an earlier release may come back there"; exit 1 ;;
    *) echo "$url answers $code without a login, so the shared login stays"; exit 1 ;;
  esac
done"""


def _end_shared_login(host: str) -> Step:
    """Remove the password file of an earlier release, once nginx does not read it any more."""
    remove = Run(("rm", "-f", _HTPASSWD))
    return Step("End the shared login of the front door", (host,), (remove,), (Probe(("test", "!", "-e", _HTPASSWD)),))


def installs_certificate(step: Step) -> bool:
    """Whether the step writes the certificate of the front door."""
    return any(isinstance(action, Put) and action.path == f"{OWN}/{CERTIFICATE}" for action in step.actions)


def _acme(desired: DesiredState, host: str) -> Step:
    """Get a certificate from Let's Encrypt (over port 80); Debian's timer renews it, and a hook reloads nginx."""
    domain = desired.settings.domain
    live = f"/etc/letsencrypt/live/{domain}"
    ask = (
        *("certbot", "certonly", "--non-interactive", "--agree-tos", "--webroot", "-w", CHALLENGES),
        *("-m", desired.settings.acme_email, "-d", domain, "--key-type", "ecdsa", "--keep-until-expiring"),
        *("--deploy-hook", CHANGED),
    )
    link = Link(CURRENT, live)
    folder = Run(("install", "-d", CHALLENGES), title=f"make {CHALLENGES}")
    actions = (folder, Run(ask, 300, f"certbot certonly for {domain}"), link, _CHANGED)
    probes = (Probe(("test", "-e", f"{live}/{CERTIFICATE}")), link_matches(link))
    return Step(f"Get the certificate of {domain} from Let's Encrypt", (host,), actions, probes)


def drain(desired: DesiredState, hosts: tuple[str, ...], needed_by: tuple[str, ...], after: tuple[str, ...]) -> Step:
    """Send no requests to these web hosts while their release is switched."""
    step = _set_upstreams(desired, f"Drain {', '.join(hosts)} at the front door", hosts)
    return replace(step, after=after, needed_by=needed_by)


def fill(desired: DesiredState, needed_by: tuple[str, ...]) -> Step:
    """Send requests to all web hosts again, even after failed switches or an interrupted run."""
    none = Probe(("sh", "-c", '! grep -q "^ *server .* down;" "$1"', "sh", _conf(desired).path))
    step = _set_upstreams(desired, "Send requests to all web hosts again")
    return replace(step, done_if=(none,), after_any_outcome=needed_by, needed_by=needed_by)


def _set_upstreams(desired: DesiredState, title: str, down: Collection[str] = ()) -> Step:
    config = _conf(desired, down, desired.shared_login)
    test = Probe(("nginx", "-q", "-t", "-c", staged(config.path)), 30, "nginx -t")
    host = desired.inventory.bastion.name
    return Step(title, (host,), (config, Service("nginx", "reload")), validate=(test,))
