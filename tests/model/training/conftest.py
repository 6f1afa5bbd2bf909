"""What the tests of the training loop share."""

import keras  # noqa: TID253
import pytest

from model.training import loop as fit


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is compiled, which takes longer than the few steps of a run that proves what the loop decides."""
    compile_for = fit.network.compile_for

    def compile_eagerly(model: keras.Model, *words: object) -> None:
        compile_for(model, *words)
        model.run_eagerly = True

    monkeypatch.setattr(fit.network, "compile_for", compile_eagerly)
