"""Beside a training that a client follows: what serves can be changed; what would end the run is refused."""

import getpass

from tests.lab.stack_operator import COMMAND_TIMEOUT_S
from tests.lab.training.host import SMALL, TrainingHost

BESIDE = (("plan",), ("drift",), ("configure", "-y"))


def test_a_training_excludes_only_what_uses_or_ends_its_host(training: TrainingHost) -> None:
    operator = training.operator
    client = training.start_followed_run(epochs=2000)
    training.wait_for_phase("train")
    run = training.newest_run()

    beside = {words: operator.start(*words) for words in BESIDE}  # at the same time: plan and drift take no lock
    for words, command in beside.items():
        out, err = command.communicate(timeout=COMMAND_TIMEOUT_S)
        assert command.returncode == 0, f"{words}: {command.returncode}\n{out}\n{err}"

    second = operator.run("train", "--gpu", "--", *SMALL, code=5).stderr
    assert f"is locked by pneumoctl train --gpu (process {client.pid}" in second and "pneumoctl runs cancel" in second
    refused = operator.run("teardown", "-y", code=5).stderr
    assert "nothing was destroyed" in refused and f"run {run} of " in refused and "--end-training" in refused
    assert f"run {run} of {getpass.getuser()}@" in operator.run("gpu", "status").stdout

    operator.run("runs", "cancel", run)
    client.communicate(timeout=COMMAND_TIMEOUT_S)
    assert client.returncode == 8
    assert training.receipt(run)["why"] == "stopped" and training.state() == "stopped"
