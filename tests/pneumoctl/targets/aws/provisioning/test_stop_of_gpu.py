"""No GPU host is left running: it is stopped, with proof, or the exit code is 7."""

import pytest

from pneumoctl.errors import Exit, PneumoError
from pneumoctl.gpu import stop as gpu
from tests.pneumoctl.targets.aws.provisioning.simulated_ec2 import Ec2


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "POLL_S", 0.01)


def test_only_a_running_gpu_host_is_stopped_immediately() -> None:
    ec2 = Ec2(boots=10**6)
    gpu.stop_training_hosts(ec2, "t", True)
    assert ec2.stopped == ["i-1"]


def test_a_new_gpu_host_may_end_its_boot_script_first() -> None:
    ec2 = Ec2(boots=4)
    gpu.stop_training_hosts(ec2, "t", True, boot_s=30)
    assert ec2.looks == 5 and ec2.stopped == ["i-1"]


def test_a_host_that_powers_itself_off_is_not_stopped() -> None:
    ec2 = Ec2(boots=10**6, ends=3)
    gpu.stop_training_hosts(ec2, "t", True, boot_s=30)
    assert ec2.stopped == []


def test_a_host_that_never_boots_is_stopped_after_the_time_limit() -> None:
    ec2 = Ec2(boots=10**6)
    gpu.stop_training_hosts(ec2, "t", True, boot_s=0.05)
    assert ec2.stopped == ["i-1"]


def test_a_host_that_cannot_be_stopped_is_exit_7() -> None:
    with pytest.raises(PneumoError) as caught:
        gpu.stop_training_hosts(Ec2(refuses=True), "t", False)
    assert caught.value.code == Exit.GPU_NOT_STOPPED


def test_a_console_that_cannot_be_read_keeps_no_gpu_running() -> None:
    ec2 = Ec2(mute=True)
    gpu.stop_training_hosts(ec2, "t", True)
    assert ec2.stopped == ["i-1"]
    ec2 = Ec2(mute=True)
    gpu.stop_training_hosts(ec2, "t", True, boot_s=0.05)
    assert ec2.stopped == ["i-1"]


@pytest.mark.parametrize("failure", [PneumoError("token expired"), KeyboardInterrupt(), SystemExit(143)])
def test_an_unknown_gpu_state_is_exit_7(failure: BaseException) -> None:
    with pytest.raises(PneumoError) as caught:
        gpu.stop_training_hosts(Ec2(away=failure), "t", True)
    assert caught.value.code == Exit.GPU_NOT_STOPPED
    assert "aws ec2 stop-instances --region eu-west-1 --profile work" in caught.value.hint


INTERRUPTED = (KeyboardInterrupt(), SystemExit(143), PneumoError("token expired", code=Exit.FAILED))


@pytest.mark.parametrize("failure", INTERRUPTED)
def test_what_prevented_the_proof_of_a_stop_is_the_error_once_the_stop_is_proven(failure: BaseException) -> None:
    ec2 = Ec2(away=failure)

    def prove() -> None:
        ec2.away = None
        gpu.stop_training_hosts(ec2, "t", True)

    with pytest.raises(type(failure)) as caught, gpu.stopping_at_end(prove):
        gpu.stop_training_hosts(ec2, "t", True)
    assert caught.value is failure and ec2.stopped == ["i-1"]


@pytest.mark.parametrize("failure", INTERRUPTED)
def test_a_stop_that_is_not_proven_at_the_end_either_is_exit_7(failure: BaseException) -> None:
    ec2 = Ec2(away=failure)
    with pytest.raises(PneumoError) as caught, gpu.stopping_at_end(lambda: gpu.stop_training_hosts(ec2, "t", True)):
        gpu.stop_training_hosts(ec2, "t", True)
    assert caught.value.code == Exit.GPU_NOT_STOPPED
    with pytest.raises(PneumoError) as caught, gpu.stopping_at_end(lambda: gpu.stop_training_hosts(ec2, "t", True)):
        raise KeyboardInterrupt
    assert caught.value.code == Exit.GPU_NOT_STOPPED


def test_a_refused_stop_stays_exit_7() -> None:
    with pytest.raises(PneumoError) as caught, gpu.stopping_at_end(lambda: None):
        gpu.stop_training_hosts(Ec2(refuses=True), "t", True)
    assert caught.value.code == Exit.GPU_NOT_STOPPED


@pytest.mark.parametrize("code", [Exit.USAGE, Exit.LOCKED])
def test_a_stop_that_was_not_begun_is_an_error_where_a_gpu_host_may_be(code: Exit) -> None:
    with pytest.raises(PneumoError) as caught:
        gpu.stop_training_hosts(Ec2(away=PneumoError("no region", code=code)), "t", True)
    assert caught.value.code == code


def test_without_a_gpu_host_an_unreachable_api_is_no_error() -> None:
    gpu.stop_training_hosts(Ec2(away=PneumoError("the API is away")), "t", False)
    with pytest.raises(KeyboardInterrupt):
        gpu.stop_training_hosts(Ec2(away=KeyboardInterrupt()), "t", False)
