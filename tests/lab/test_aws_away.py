"""The operator's machine dies while the GPU host boots; that the host ends by itself is seen later (repair)."""

from tests.lab.operated import Abandoned, Operator


def test_terraform_goes_on_and_status_says_that_the_gpu_bills(abandoned: Abandoned, operator: Operator) -> None:
    said = operator.run("status", code=1)

    assert "the GPU host is not stopped and bills (next: pneumoctl up, which ends with it stopped)" in said.stderr
    assert "not in the inventory: train" in said.stdout


def test_the_host_was_booting_when_it_happened(abandoned: Abandoned) -> None:
    assert abandoned.process.returncode == -9
