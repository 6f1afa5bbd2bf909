"""The steps of pneumoctl's plan for other tools: a shell script for each host, and data for a pyinfra deploy."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

from pneumoctl.files import NOT_COPIED

Action = dict[str, Any]
Todo = dict[str, list[dict[str, Any]]]
ROOT_SH = "sudo env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8"


def actions(steps: list[dict[str, Any]]) -> list[Action]:
    """The actions on a host in order, without pneumoctl's own stamps."""
    listed = [action for step in steps for action in step["actions"]]
    return [action for action in listed if not action.get("stamp") and action.get("argv", [""])[0] != "true"]


def sources(todo: Todo, folder: Path) -> None:
    """Copy each tree that is to be copied to hosts, without what stays here; `source` names the copy from now on."""
    shutil.rmtree(folder, ignore_errors=True)
    made: dict[str, Path] = {}
    for action in (action for steps in todo.values() for action in actions(steps) if action["do"] == "Copy"):
        source = action["tree"]["source"]
        if source not in made:
            made[source] = folder / str(len(made))
            shutil.copytree(source, made[source], ignore=shutil.ignore_patterns(*NOT_COPIED))
        action["tree"]["source"] = str(made[source])


# by plain ssh


def script(host: str, steps: list[dict[str, Any]], config: Path, folder: Path) -> str:
    """A shell script with an `ssh` an action; files' contents are laid into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ssh = shlex.join(("ssh", "-F", str(config), host))
    lines = ["set -e"]
    for number, action in enumerate(actions(steps)):
        before, remote, stdin = _by_ssh(action, folder / f"{host}.{number}")
        lines.append(f"{before}{ssh} {shlex.quote(remote)} {stdin}")
    return "\n".join(lines) + "\n"


def _by_ssh(action: Action, content: Path) -> tuple[str, str, str]:
    """What stands before the ssh, the remote line, and where its input comes from."""
    match action["do"]:
        case "Run":
            return "", f"{ROOT_SH} {shlex.join(action['argv'])}", "</dev/null"
        case "Service":
            tell = "systemctl reset-failed $2 2>/dev/null; systemctl $1 $2"  # or what failed a moment ago is refused
            return "", f"sudo sh -c {shlex.quote(tell)} sh {action['verb']} {action['name']}", "</dev/null"
        case "Link":
            path, target = shlex.quote(action["path"]), shlex.quote(action["target"])
            return "", f"sudo ln -sfn {target} {path}", "</dev/null"
        case "Copy":
            path = shlex.quote(action["path"])
            remote = f"sudo mkdir -p {path} && sudo tar -xzf - -C {path} --no-same-owner"
            return f"tar -C {shlex.quote(action['tree']['source'])} -czf - . | ", remote, ""
        case "Put":
            content.write_text(action["content"])
            path, parent = shlex.quote(action["path"]), shlex.quote(str(Path(action["path"]).parent))
            rights = f"sudo chmod {action['mode']:o} {path} && sudo chgrp {action['group'] or 'root'} {path}"
            remote = f"sudo mkdir -p {parent} && sudo tee {path} >/dev/null && {rights}"
            return "", remote, f"<{shlex.quote(str(content))}"
        case other:
            raise ValueError(other)


# by pyinfra


def deploy(todo: Todo, config: Path, folder: Path) -> list[str]:
    """Write inventory and data for pyinfra_deploy.py into `folder`; returns pyinfra's arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    hosts = [(host, {"ssh_config_file": str(config), **_data(host, steps, folder)}) for host, steps in todo.items()]
    (folder / "inventory.py").write_text(f"hosts = {hosts!r}\n")
    (folder / "ssh_config").write_text("")
    file = folder / "deploy.py"
    shutil.copy(Path(__file__).with_name("pyinfra_deploy.py"), file)
    return ["--yes", str(folder / "inventory.py"), str(file)]


def _data(host: str, steps: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """The operations of a host, by kind, in an order that works on each: packages, trees, then step by step."""
    listed = actions(steps)
    last = "--no-install-recommends"  # of apt-get's options
    installs = [action["argv"] for action in listed if action["do"] == "Run" and last in action["argv"]]
    packages = [word for argv in installs for word in argv[argv.index(last) + 1 :]]
    trees = [
        {"source": action["tree"]["source"], "path": action["path"]} for action in listed if action["do"] == "Copy"
    ]
    groups = [_group(host, number, step, folder) for number, step in enumerate(steps)]
    return {"packages": packages, "trees": trees, "groups": [group for group in groups if any(group.values())]}


def _group(host: str, number: int, step: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The files, links, commands and services of a step; a changed file restarts or reloads the services."""
    made: dict[str, Any] = {"files": [], "links": [], "commands": [], "enabled": [], "services": []}
    for count, action in enumerate(actions([step])):
        if action["do"] == "Put":
            source = folder / f"{host}.{number}.{count}"
            source.write_text(action["content"])
            rights = {"mode": f"{action['mode']:o}", "group": action["group"] or "root"}
            made["files"].append({"source": str(source), "path": action["path"], **rights})
        elif action["do"] == "Link":
            made["links"].append({"path": action["path"], "target": action["target"]})
        elif action["do"] == "Service":
            made["services"].append({"unit": action["name"], "verb": action["verb"]})
        elif action["do"] == "Run" and "systemctl enable --quiet" in " ".join(action["argv"]):
            made["enabled"].append({"unit": action["argv"][-1], "now": "--now" in action["argv"]})
        elif action["do"] == "Run" and not {"apt-get", "apt-get update"} & {action["argv"][0], action.get("title")}:
            made["commands"].append(shlex.join(action["argv"]))
    return made


def read(document: str) -> Todo:
    """The steps that bench.operated lists."""
    todo: Todo = json.loads(document)
    return todo
