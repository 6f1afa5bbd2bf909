"""A run on a spot instance: after an interruption it continues on another one, and the instance ends with the run."""

import re

import pytest

from tests.lab.stack_operator import COMMAND_TIMEOUT_S
from tests.lab.training.host import TrainingHost

HOURS = 5 * 3600.0  # beyond the deadline of a run, which is four hours
NOTICE = """mkdir -p /run/lab; echo '{"action": "terminate", "time": "2026-01-01T00:02:00Z"}' >/run/lab/spot-action"""


@pytest.mark.repeat
def test_a_run_whose_spot_instance_is_taken_goes_on_from_its_checkpoint_on_the_stacks_host(
    training: TrainingHost,
) -> None:
    child = training.start_followed_run("--spot", "--spot-retries", "0", "--fallback", epochs=30)
    first = training.wait_for_spot_instance()
    first.wait_for_phase("train")
    first.run_script(NOTICE)
    out, err = child.communicate(timeout=COMMAND_TIMEOUT_S)
    assert child.returncode == 0, f"{out}\n{err}"
    run = training.newest_run()
    receipt = training.receipt(run)

    assert first.state() == "terminated" and training.state() == "stopped"
    assert [attempt["why"] for attempt in receipt["earlier"]] == ["spot"] and receipt["earlier"][0]["guard"] == "unit"
    assert (receipt["why"], receipt["attempt"]) == ("done", 2) and receipt["stopped"]
    # An epoch that takes long is also reported at a step.
    epochs = re.findall(r"INFO epoch (\d+)/30 loss ", training.operator.run("runs", "logs", run).stdout)
    assert epochs == [str(number) for number in range(1, 31)]  # no epoch is lost or repeated
    assert training.operator.json("runs", "show", run)["run"]["market"] == "on-demand"


@pytest.mark.repeat
def test_the_account_alone_ends_a_spot_instance_for_good(training: TrainingHost) -> None:
    run = training.start_run("--spot", epochs=1000)
    spot = training.wait_for_spot_instance()
    spot.wait_for_phase("train", run)
    assert training.operator.json("gpu", "status", code=0)["hosts"][-1]["lease"]["run"] == run
    spot.disable_timer()
    spot.disable_unit()
    training.advance_clock(HOURS)
    try:
        spot.wait_until_off()
    finally:
        training.advance_clock(-HOURS)

    assert spot.state() == "terminated" and training.state() == "stopped"
    fired = training.operator.lab.ask("GET", "clock")["fired"][-1]
    assert fired["outcome"] == "ok" and fired["schedule"].endswith(run) and fired["instances"] == [spot.id]
