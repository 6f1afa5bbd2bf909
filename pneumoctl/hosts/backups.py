"""The steps that back the results up into the bucket: a systemd timer on the host of the store."""

from dataclasses import replace

from pneumoctl.hosts.desired import DesiredState
from pneumoctl.hosts.layout import ROOT, STAMPS, UNITS
from pneumoctl.hosts.releases import serve_id
from pneumoctl.hosts.steps import active, enabled, staged, starting
from pneumoctl.plan.render import render
from pneumoctl.plan.steps import Probe, Put, Run, Service, Step, file_matches, stamped
from pneumoctl.stack.inventory import Host

UNIT = "pneumoctl-backup"
LAST = f"/var/lib/{UNIT}/last.json"  # webapp.api.backup makes no backup while it says that nothing has changed
_NONE = f"! systemctl is-enabled --quiet {UNIT}.timer && ! systemctl is-active --quiet {UNIT}.timer"


def steps(desired: DesiredState) -> list[Step]:
    """Start the timer, or stop it if the settings say that there are no backups."""
    host = desired.inventory.store
    if host.name not in desired.releases:
        return []
    if desired.backup_to is None:
        stop = Run(("sh", "-c", f"systemctl disable --now {UNIT}.timer 2>/dev/null || true"), title="stop the timer")
        return [Step(f"Stop the backups of {host.name}", (host.name,), (stop,), (Probe(("sh", "-c", _NONE)),))]
    files = _files(desired, *desired.backup_to)
    check = Probe(
        ("systemd-analyze", "verify", "--man=no", *(staged(file.path) for file in files)), 60, "systemd reads its units"
    )
    step = Step(
        f"Back the results of {host.name} up every {desired.settings.backup_minutes} minutes",
        (host.name,),
        (*files, Run(("systemctl", "daemon-reload")), starting(f"{UNIT}.timer"), Service(f"{UNIT}.timer", "restart")),
        validate=(check,),
        verify=(active(f"{UNIT}.timer"),),
        after=(serve_id(host),),
    )
    step = stamped(step, f"{STAMPS}/{UNIT}.timer")
    probes = (*(file_matches(file) for file in files), *step.done_if, active(f"{UNIT}.timer"), enabled(f"{UNIT}.timer"))
    return [*([_again(host)] if desired.backup_again else ()), replace(step, done_if=probes)]


def _again(host: Host) -> Step:
    forget = Run(("rm", "-f", LAST))
    return Step(f"Forget the last backup of {host.name}", (host.name,), (forget,), (Probe(("test", "!", "-e", LAST)),))


def _files(desired: DesiredState, bucket: str, region: str) -> tuple[Put, ...]:
    service = render(f"systemd/{UNIT}.service", bucket=bucket, region=region, root=ROOT)
    timer = render(f"systemd/{UNIT}.timer", minutes=desired.settings.backup_minutes)
    return tuple(
        Put(text, f"{UNITS}/{UNIT}.{kind}", 0o644, group="root")
        for kind, text in (("service", service), ("timer", timer))
    )
