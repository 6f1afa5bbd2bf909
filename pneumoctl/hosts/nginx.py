"""The steps that make the nginx host the front door: TLS, login, upstreams; and those that drain a web host there."""

import hashlib
from dataclasses import dataclass, replace

from pneumoctl.hosts.desired import Wishes
from pneumoctl.hosts.layout import ETC
from pneumoctl.hosts.steps import answers, points, service, staged
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Link, Put, Run, Service, Step, holds


@dataclass(frozen=True)
class Upstream:
    """A web host behind nginx; one that is `down` is sent nothing."""

    address: str
    port: int
    down: bool = False


OWN, CURRENT = f"{ETC}/tls/own", f"{ETC}/tls/current"
CERTIFICATE, KEY = "fullchain.pem", "privkey.pem"  # as Let's Encrypt calls them
CHANGED = f"{ETC}/certificate-changed"
CHALLENGES = "/var/www/pneumoctl-acme"

_CHANGED = Run((CHANGED,), title="nginx and Prometheus are told")


def server_names(wishes: Wishes) -> tuple[str, ...]:
    """The names by which people reach the page."""
    domain = wishes.settings.domain
    return (wishes.inventory.bastion.public_address, *((domain,) if domain else ()))


def _conf(wishes: Wishes, down: str = "") -> Put:
    """nginx's whole configuration; the web host `down` is drained."""
    web = [host for host in wishes.inventory.hosts if host.role == "web"]
    text = render(
        "nginx/nginx.conf",
        server_names=server_names(wishes),
        upstreams=tuple(Upstream(host.address, (host.services or {})["ui"], host.name == down) for host in web),
        max_upload_mb=wishes.settings.max_upload_mb,
        certificate=f"{CURRENT}/{CERTIFICATE}",
        key=f"{CURRENT}/{KEY}",
        htpasswd=f"{ETC}/htpasswd",
        acme=bool(wishes.settings.acme_email),
    )
    return Put(text, "/etc/nginx/nginx.conf", 0o644, group="root")


def steps(wishes: Wishes) -> list[Step]:
    """Certificate, login and configuration of nginx, and what Prometheus asks of it."""
    host = wishes.inventory.bastion.name
    config = _conf(wishes)
    test = Run(("nginx", "-q", "-t", "-c", staged(config.path)), 30, "nginx -t")
    exporter = Put(
        render("default/prometheus-nginx-exporter"), "/etc/default/prometheus-nginx-exporter", 0o644, group="root"
    )
    return [
        _keys(wishes, host),
        service(
            "Configure the front door",
            host,
            "nginx",
            (config,),
            (test,),
            (answers("http://127.0.0.1:8081/stub_status", seconds=10),),  # what the exporter after it asks
            verb="reload",
            salt=hashlib.sha256(f"{wishes.certificate}{wishes.login}".encode()).hexdigest(),
        ),
        *([_acme(wishes, host)] if wishes.settings.acme_email else ()),
        service("Configure the nginx exporter", host, "prometheus-nginx-exporter", (exporter,)),
    ]


def _keys(wishes: Wishes, host: str) -> Step:
    """Our certificate serves until Let's Encrypt's is there, and again when that is wished no more."""
    files = (
        Put(wishes.certificate, f"{OWN}/{CERTIFICATE}", 0o644, group="root"),
        Put(wishes.key, f"{OWN}/{KEY}", 0o600, secret=True, group="root"),
        Put(wishes.login + "\n", f"{ETC}/htpasswd", 0o640, secret=True, group="www-data"),
        Put(render("nginx/certificate-changed", certificate=f"{CURRENT}/{CERTIFICATE}"), CHANGED, 0o755, group="root"),
    )
    link = Link(CURRENT, OWN)
    probes = tuple(holds(one) for one in files)
    title = "Put the front door's certificate and login in place"
    if wishes.settings.acme_email:
        first = Run(("sh", "-c", 'test -e "$1" || ln -sfn "$2" "$1"', "sh", CURRENT, OWN), title="serve with ours")
        return Step(title, (host,), (*files, first, _CHANGED), (*probes, Run(("test", "-e", CURRENT))))
    return Step(title, (host,), (*files, link, _CHANGED), (*probes, points(link)))


def _acme(wishes: Wishes, host: str) -> Step:
    """Ask Let's Encrypt, which looks at the domain's port 80; Debian's timer renews, and its hook tells nginx."""
    domain = wishes.settings.domain
    live = f"/etc/letsencrypt/live/{domain}"
    ask = (
        *("certbot", "certonly", "--non-interactive", "--agree-tos", "--webroot", "-w", CHALLENGES),
        *("-m", wishes.settings.acme_email, "-d", domain, "--key-type", "ecdsa", "--keep-until-expiring"),
        *("--deploy-hook", CHANGED),
    )
    link = Link(CURRENT, live)
    folder = Run(("install", "-d", CHALLENGES), title=f"make {CHALLENGES}")
    actions = (folder, Run(ask, 300, f"certbot certonly for {domain}"), link, _CHANGED)
    probes = (Run(("test", "-e", f"{live}/{CERTIFICATE}")), points(link))
    return Step(f"Get the certificate of {domain} from Let's Encrypt", (host,), actions, probes)


def drain(wishes: Wishes, host: str, sake: tuple[str, ...], after: tuple[str, ...]) -> Step:
    """Send nothing more to a web host while its release is switched."""
    return _send(wishes, f"Drain {host} at the front door", host, sake, after, ())


def fill(wishes: Wishes, sake: tuple[str, ...]) -> Step:
    """Send requests to all web hosts again, however their switches ended; who drained one may have been killed."""
    none = Run(("sh", "-c", '! grep -q "^ *server .* down;" "$1"', "sh", _conf(wishes).path))
    return replace(_send(wishes, "Send requests to all web hosts again", "", sake, (), sake), unless=(none,))


def _send(
    wishes: Wishes, title: str, down: str, sake: tuple[str, ...], after: tuple[str, ...], behind: tuple[str, ...]
) -> Step:
    config = _conf(wishes, down)
    test = Run(("nginx", "-q", "-t", "-c", staged(config.path)), 30, "nginx -t")
    host = wishes.inventory.bastion.name
    actions = (config, Service("nginx", "reload"))
    return Step(title, (host,), actions, valid=(test,), after=after, behind=behind, sake=sake)
