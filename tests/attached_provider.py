"""Terraform's AWS provider, started once for many runs of terraform: each start of it takes a second of CPU time."""

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAM = ".terraform/providers/registry.terraform.io/hashicorp/aws/*/*/terraform-provider-aws_*"


@contextmanager
def attached(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run the provider of an initialised working copy; yields the environment in which terraform uses it.

    The provider has the credentials and the endpoint of `environment`, not those of the terraform that uses it.
    """
    (program,) = directory.glob(PROGRAM)
    command = [program, "-debug"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as provider:
        try:
            assert provider.stdout is not None
            lines = (line.decode() for line in provider.stdout)
            found = (re.search("TF_REATTACH_PROVIDERS='(.*)'", line) for line in lines)
            address = next((match[1] for match in found if match), "")
            assert address, "the provider did not start"
            yield {**environment, "TF_REATTACH_PROVIDERS": address}
        finally:
            provider.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                provider.wait(10)
            provider.kill()  # it has nothing to save
