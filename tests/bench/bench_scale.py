"""How the time of commands on aws grows with the number of hosts: `python -m tests.bench.bench_scale [--hosts N..]`.

Each host is a real sshd on the loopback, all but the first behind that one, with a real agent; needs OpenSSH. The
hosts share this machine's cores, which real ones do not: so the CPU time of pneumoctl itself is shown, too.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from unittest.mock import patch

from pneumoctl.hosts import units
from pneumoctl.ssh import host_program
from pneumoctl.ssh.agent_client import Agents
from pneumoctl.ssh.connections import Connections
from pneumoctl.ssh.on_host.frames import ASK, frame
from pneumoctl.stack.inventory import Host
from pneumoctl.stack.settings import Settings
from pneumoctl.stack.stack import Cloud, Stack
from pneumoctl.targets.aws.configuration import desired
from pneumoctl.targets.aws.inspection import host_facts
from tests.pneumoctl import agent_process
from tests.pneumoctl.examples import SECRETS, stack_of
from tests.pneumoctl.sshd import on_loopback

PYTHON = "/usr/bin/python3"  # Debian's, as on a host
REQUESTS = 40


def named(hosts: int) -> list[str]:
    """The names of nginx, monitoring and this many hosts that serve, half of them the API."""
    return ["nginx", "monitoring", *(f"{('web', 'app')[number % 2]}-{number // 2}" for number in range(hosts))]


@contextmanager
def agents_of(hosts: int) -> Iterator[tuple[Agents, list[Host]]]:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("var", "run"):
            Path(folder, name).mkdir()
        _, *argv = agent_process.argv(Path(folder))
        with (
            on_loopback(Path(folder, "farm"), named(hosts)) as farm,
            Connections(farm.inventory, farm.directory) as connections,
            patch.object(host_program, "command", lambda: (PYTHON, *argv)),
        ):
            yield Agents(connections, "", "", ""), list(farm.inventory.hosts)


def measured(act: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of CPU time of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - cpu


def ask(agents: Agents, hosts: list[Host]) -> None:
    """The requests of `status`: two for each host, all hosts at once."""

    def both(host: Host) -> None:
        agents.run(host, ("true",))
        agents.pending(host, ())

    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(both, hosts))


def plan_each(hosts: int) -> None:
    """The plans of `status`: one for each host."""
    state, settings = stack_of(named(hosts)), Settings(stack="t", target="aws")
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack("t", Path(folder, "t"))
        stack.save_cloud(Cloud("eu-central-1", "", "111111111111", ""))
        stack.save_hosts(state)
        stack.write("secrets.json", asdict(SECRETS))
        desired.certified(stack, settings, state)
        releases = desired.available_releases(settings)
        links = {f"{kind}/current": "releases/x" for kind in ("api", "web", "model")}
        for host in state.hosts:
            seen = host_facts.HostFacts("ok", links, 1, 1, dict.fromkeys(units.of(host), "active"), ())
            host_facts.steps(settings, stack, host, seen, releases)


def agent_cpu(requests: int) -> float:
    """Seconds of CPU time of an agent that answers this many requests."""
    asked = json.dumps({"op": "run", "argv": ["true"], "timeout": 60, "limit": 60}).encode()
    said = host_program.archive() + b"".join(frame(ASK, number, asked) for number in range(requests))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("var", "run"):
            Path(folder, name).mkdir()
        _, *argv = agent_process.argv(Path(folder))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([PYTHON, *argv], input=said, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 8, 16, 50, 100], help="hosts that serve")
    alone = agent_cpu(1)
    more = (agent_cpu(1 + REQUESTS) - alone) / REQUESTS
    print(
        f"CPU time on a host: {1000 * alone:.0f} ms for an agent and its first request, {1000 * more:.1f} for each more"
    )
    plan_each(2)  # imports
    for hosts in parser.parse_args().hosts:
        _, planned = measured(partial(plan_each, hosts))
        with agents_of(hosts) as (agents, known):
            first, cpu = measured(partial(ask, agents, known))
            again, _ = measured(partial(ask, agents, known))
        print(
            f"{hosts:3} hosts and 2: plans {planned:.2f} s CPU; connect and ask {first:.1f} s, {cpu:.2f} s CPU; "
            f"ask again {again:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
