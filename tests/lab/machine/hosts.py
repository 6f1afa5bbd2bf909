"""A host, which is an instance of the lab's AWS: Debian with systemd in a container, with its own disk."""

import json
import re
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab.machine import mounts
from tests.lab.machine.cgroups import Group
from tests.lab.machine.network import Network
from tests.lab.machine.paths import SEED, LabPaths

REBOOTED = 133  # nspawn's exit code when the host reboots; 0 when it was powered off
DISK = "8G"  # a sparse file: it only takes the space that is written


@dataclass(frozen=True)
class Seed:
    """The data of an instance for its first boot. `ubuntu`: its image also has a user of that name."""

    user_data: bytes = b""
    keys: tuple[str, ...] = ()
    ubuntu: bool = False


class Host:
    def __init__(self, paths: LabPaths, network: Network, image: Path, instance: str, address: str, seed: Seed) -> None:
        self.instance, self.address, self._seed = instance, address, seed
        self._paths, self._network, self._image = paths, network, image
        self._directory = paths.hosts / instance
        self._root = self._directory / "root"
        self._group = Group(f"{paths.prefix}/{instance}")
        self.process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Create a new disk that contains the seed for cloud-init."""
        self._root.mkdir(parents=True, exist_ok=True)
        image, mounted = self._directory / "disk.img", self._directory / "disk"
        mounted.mkdir(exist_ok=True)
        _run("truncate", f"--size={DISK}", image)
        # No journal: the file of the disk is not lost if the host crashes.
        _run("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", image)
        _run("mount", "-o", "loop,noatime", image, mounted)
        for name in ("upper", "work"):
            (mounted / name).mkdir()
        seed = mounted / "upper" / SEED
        seed.mkdir(parents=True)
        (seed / "user-data").write_bytes(self._seed.user_data)
        (seed / "meta-data").write_text(json.dumps(self._metadata()))
        (seed / "vendor-data").write_text("#cloud-config\n" + json.dumps(self._users()))

    def set_user_data(self, user_data: bytes) -> None:
        """Give the stopped host other user data. As on EC2, cloud-init then reads them anew at the next boot."""
        upper = self._directory / "disk" / "upper"
        file = upper / SEED / "user-data"
        if file.read_bytes() != user_data:
            file.write_bytes(user_data)
            (upper / "var/lib/cloud/instance").unlink(missing_ok=True)  # what its local stage does on EC2

    def boot(self) -> None:
        disk = self._directory / "disk"
        shutil.rmtree(
            disk / "work/work/incompat", ignore_errors=True
        )  # overlayfs refuses to mount a volatile disk again
        layers = f"lowerdir={self._image},upperdir={disk}/upper,workdir={disk}/work,volatile"
        _run("mount", "-t", "overlay", self._machine, "-o", layers, self._root)
        self._network.attach(self.instance, self.address)
        self._group.create()
        network = f"--network-namespace-path=/run/netns/{self._machine}"
        alone = ("--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off", network)
        # The console is write-only: what the host writes on it becomes EC2's console output.
        options = ("--quiet", "--boot", "--console=read-only", "--capability=CAP_NET_ADMIN", *alone)
        command = ["systemd-nspawn", f"--directory={self._root}", f"--machine={self._machine}", *options]
        with (self._directory / "console.log").open("ab") as console:
            self.process = subprocess.Popen(
                self._group.enter(command),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_NSPAWN_LOCK": "0", "TERM": "dumb"},
            )
        while self.process.poll() is None and _first_process(self.process.pid) is None:
            time.sleep(0.01)  # nspawn starts it through another child

    def ended(self) -> int | None:
        """The exit code of a host that ended by itself (negative: killed); None while it runs or after `halt`."""
        return self.process.poll() if self.process else None

    def stop(self) -> None:
        """Shut it down in order, and by force after 20 s."""
        if self.process and self.process.poll() is None:
            self._group.freeze(False)
            self.process.terminate()  # nspawn powers the host off at this signal
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        self.halt()

    def halt(self) -> None:
        """End the host as a loss of power would, without a message to its peers. The disk stays."""
        self._network.detach(self.instance)
        self._group.kill()
        if self.process:
            self.process.wait(120)
            self.process = None
        self._group.remove()
        mounts.unmount_below(self._root)
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{self._machine}", ignore_errors=True)

    def remove(self) -> None:
        """End the host and remove its disk. Its console output stays."""
        self.halt()
        self._network.restore(self.instance)
        mounts.unmount_below(self._directory)
        for name in ("disk.img", "root", "disk"):
            path = self._directory / name
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)

    @property
    def _machine(self) -> str:
        return self._paths.named(self.instance)

    def _metadata(self) -> dict[str, object]:
        name = "ip-" + self.address.replace(".", "-")
        return {"instance-id": self.instance, "local-hostname": name, "public-keys": list(self._seed.keys)}

    def _users(self) -> dict[str, object]:
        if not self._seed.ubuntu:
            return {}
        may_do_all = ["ALL=(ALL) NOPASSWD:ALL"]
        keys = list(self._seed.keys)
        user = {"name": "ubuntu", "shell": "/bin/bash", "sudo": may_do_all, "ssh_authorized_keys": keys}
        return {"users": ["default", user]}


def leader(nspawn: int) -> int:
    """The process id, on this machine, of the host's first process. ProcessLookupError if it is gone."""
    first = _first_process(nspawn)
    if first is None:
        raise ProcessLookupError(f"the host of process {nspawn} is down")
    return first


def _first_process(nspawn: int) -> int | None:
    """The child that is the first process of its own namespaces; None before it starts and after it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            if re.search(r"^NSpid:.*\t1$", status, re.MULTILINE):
                return int(child)
    return None


def _run(*argv: str | Path) -> None:
    result = subprocess.run(argv, text=True, capture_output=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {result.stderr.strip()}")
