"""pneumoctl's plan as a pyinfra deploy, with data from contestants.py. Run by the Python of pyinfra.

An operation is the same line for all hosts, so that pyinfra does it on all of them at once; it wants `host.loop`.
"""

from pyinfra import config, host
from pyinfra.operations import apt, files, server, systemd

config.SUDO = True

if host.data.packages:
    apt.update(cache_time=3600)
    apt.packages(packages=host.data.packages, no_recommends=True)

for tree in host.loop(host.data.trees):
    files.sync(src=tree["source"], dest=tree["path"], mode="644", dir_mode="755", user="root", group="root")

for group in host.loop(host.data.groups):
    changes = [
        files.put(src=file["source"], dest=file["path"], mode=file["mode"], user="root", group=file["group"])
        for file in host.loop(group["files"])
    ]
    changes += [files.link(path=link["path"], target=link["target"]) for link in host.loop(group["links"])]

    def changed(changes=tuple(changes)):
        return not changes or any(change.did_change() for change in changes)

    for command in host.loop(group["commands"]):
        server.shell(commands=[command], _if=changed)
    for unit in host.loop(group["enabled"]):
        systemd.service(service=unit["unit"], enabled=True, running=True if unit["now"] else None)
    for unit in host.loop(group["services"]):
        again = {"reloaded": True} if unit["verb"] == "reload" else {"restarted": True}
        systemd.service(service=unit["unit"], running=True, **again, _if=changed)
