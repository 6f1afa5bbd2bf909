"""The network: preprocessing in the graph, frozen layers, the decay of the learning rate, and initial weights."""

import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import keras  # noqa: TID253
import numpy as np
import pytest

from model.settings import SettingsError, TrainSettings, choose
from model.training import frozen, network

HEAD = {"dense1", "dense1_norm", "logit"}


@pytest.fixture(scope="module")
def resnet() -> tuple[keras.Model, TrainSettings]:
    keras.utils.set_random_seed(1)
    settings = TrainSettings(arch="resnet50", height=64, width=64, dense=(16,), head_epochs=1, epochs=3)
    return network.build(settings), settings


@pytest.fixture(scope="module")
def dag() -> keras.Model:
    keras.utils.set_random_seed(1)
    return network.build(choose())


def films(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 255, (count, side, side, 1)).astype(np.float32)


def test_the_preprocessing_in_the_graph_is_keras_own(resnet: tuple[keras.Model, TrainSettings]) -> None:
    grey = films(2, 64)
    inside = keras.Model(resnet[0].input, resnet[0].get_layer("caffe").output)
    wanted = keras.applications.resnet.preprocess_input(np.repeat(grey, 3, axis=-1))
    assert np.abs(np.asarray(inside(grey)) - wanted).max() < 1e-4
    assert not resnet[0].get_layer("caffe").trainable_variables


def test_resnet_head_is_dense_norm_relu_dropout_then_one_logit(resnet: tuple[keras.Model, TrainSettings]) -> None:
    model, _ = resnet
    kinds = [type(layer).__name__ for layer in model.layers[-6:]]
    assert kinds == ["GlobalAveragePooling2D", "Dense", "BatchNormalization", "ReLU", "Dropout", "Dense"]
    assert model.get_layer("dense1").kernel_regularizer is not None
    assert model.output_shape == (None, 1)
    assert model.input_shape == (None, 64, 64, 1)


def step(model: keras.Model, settings: TrainSettings, phase: int, eager: bool = False) -> tuple[dict, dict]:
    """The variables before and after one training step of `phase`, by path.

    A step of ResNet50 takes 2 seconds, and 13 if it is compiled first.
    """
    network.compile_for(model, settings, phase, 10)
    model.run_eagerly = eager
    before = {variable.path: variable.numpy() for variable in model.variables}
    model.train_on_batch(films(4, settings.height), np.array([[0.0], [1.0], [0.0], [1.0]]))
    return before, {variable.path: variable.numpy() for variable in model.variables}


def changed(before: dict, after: dict) -> set[str]:
    return {path for path, value in before.items() if not np.array_equal(value, after[path]) and "seed" not in path}


def test_phase_one_trains_the_head_alone(resnet: tuple[keras.Model, TrainSettings]) -> None:
    model, settings = resnet
    moved = changed(*step(model, settings, 1, eager=True))
    assert moved
    assert {path.split("/")[0] for path in moved} == HEAD


@pytest.fixture(
    scope="module", params=["not compiled", pytest.param("compiled", marks=pytest.mark.repeat)], ids=lambda one: one
)
def phase_two(resnet: tuple[keras.Model, TrainSettings], request: pytest.FixtureRequest) -> tuple[dict, dict]:
    return step(*resnet, 2, eager=request.param == "not compiled")


def test_phase_two_trains_the_last_fifteen_layers_and_no_other(
    resnet: tuple[keras.Model, TrainSettings], phase_two: tuple[dict, dict]
) -> None:
    model, settings = resnet
    before, after = phase_two
    trunk = model.get_layer(network.TRUNK)
    free = {layer.name for layer in trunk.layers[-15:] if layer.weights}
    moved = changed(before, after)
    in_trunk = {path for path in moved if any(path.split("/")[-2] == layer.name for layer in trunk.layers)}
    assert {path.split("/")[-2] for path in in_trunk} == free
    # Batch normalization stays in inference mode: what it learns moves, what it counts does not.
    assert not [path for path in in_trunk if "moving" in path]
    network.set_trainable(model, settings, 2)
    assert sum(np.prod(variable.shape) for variable in trunk.trainable_variables) == 5_520_384
    network.set_trainable(model, settings, 1)
    assert not trunk.trainable_variables


def test_the_averaged_variables_are_the_trainable_ones(
    resnet: tuple[keras.Model, TrainSettings], dag: keras.Model, phase_two: tuple[dict, dict]
) -> None:
    model, settings = resnet
    before, after = phase_two
    learned = {variable.path for variable in network.trainable_state(model, settings)}
    assert changed(before, after) <= learned
    assert sum(np.prod(variable.shape) for variable in network.trainable_state(model, settings)) < 6_000_000
    frozen = TrainSettings(**{**settings.to_dict(), "unfrozen": 0})
    assert {variable.path.split("/")[0] for variable in network.trainable_state(model, frozen)} == HEAD
    assert len(network.trainable_state(dag, choose())) == len(dag.weights)


def test_the_network_is_split_where_its_frozen_layers_end(resnet: tuple[keras.Model, TrainSettings]) -> None:
    model, settings = resnet
    front, tail = frozen.split(model, settings)
    assert [output.shape[1:] for output in front.outputs] == [(2, 2, 512), (2, 2, 2048)]
    pictures = films(3, 64)
    whole = model.predict_on_batch(pictures)
    assert np.allclose(tail.predict_on_batch(front.predict_on_batch(pictures)), whole, rtol=1e-4)
    for phase in (1, 2):
        network.set_trainable(model, settings, phase)
        pairs = zip(tail.trainable_variables, model.trainable_variables, strict=True)
        assert all(one is other for one, other in pairs)
    assert frozen.split(model, replace(settings, unfrozen=175)) is None


def test_phase_two_learns_at_a_tenth_of_the_rate(resnet: tuple[keras.Model, TrainSettings]) -> None:
    model, settings = resnet
    peaks = []
    for phase in (1, 2):
        network.compile_for(model, settings, phase, 100)
        peaks.append(max(float(model.optimizer._learning_rate(step)) for step in range(100)))
    assert peaks[1] == pytest.approx(0.1 * peaks[0], rel=1e-3)


def test_the_dag_is_compact_and_branches(dag: keras.Model) -> None:
    assert 200_000 <= dag.count_params() <= 450_000
    assert dag.input_shape == (None, 160, 160, 1)
    assert dag.layers[0].name == "pixels"
    assert dag.output_names == ["logit"]
    consumers = [len(layer._outbound_nodes) for layer in dag.layers]
    assert max(consumers) >= 4
    assert any(isinstance(layer, keras.layers.Concatenate) for layer in dag.layers)


def test_the_dag_is_independent_of_exposure_and_contrast(dag: keras.Model) -> None:
    grey = films(2, 160)
    usual, faint = (np.asarray(dag(pixels, training=False)) for pixels in (grey, 0.4 * grey + 60))
    assert faint == pytest.approx(usual, abs=1e-3)


def test_a_blank_film_gives_a_number(dag: keras.Model) -> None:
    assert np.all(np.isfinite(np.asarray(dag(np.zeros((1, 160, 160, 1), np.float32), training=False))))


@pytest.mark.parametrize(
    ("optimizer", "loss"),
    [
        *(("adam", "bce"), ("sgd", "focal"), ("nadam", "bce"), ("adadelta", "focal")),
        *(
            pytest.param(optimizer, loss, marks=pytest.mark.repeat)
            for optimizer, loss in (("adam", "focal"), ("sgd", "bce"), ("nadam", "focal"), ("adadelta", "bce"))
        ),
    ],
)
def test_every_loss_and_optimizer_takes_a_step(optimizer: str, loss: str) -> None:
    pixels = keras.Input((32, 32, 1))
    model = keras.Model(pixels, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(pixels)))
    assert changed(*step(model, choose(optimizer=optimizer, loss=loss, height=32, width=32), 2))


@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_the_rate_climbs_then_decays_to_a_hundredth(dag: keras.Model, warmup: float) -> None:
    settings = choose(warmup=warmup)
    network.compile_for(dag, settings, 2, 200)
    rates = [float(dag.optimizer._learning_rate(step)) for step in range(201)]
    top = int(np.argmax(rates))
    assert max(rates) == pytest.approx(settings.learning_rate, rel=1e-3)
    assert top == 200 * warmup
    assert all(np.diff(rates[: top + 1]) > 0)
    assert all(np.diff(rates[top:]) < 0)
    assert rates[-1] == pytest.approx(settings.learning_rate / 100, rel=0.01)


def test_missing_imagenet_weights_say_which_file_to_put_where(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(keras.utils, "get_file", no_network)
    with pytest.raises(SettingsError) as caught:
        network.build(TrainSettings(arch="resnet50", weights="imagenet", height=64, width=64))
    for fact in (network.IMAGENET_FILE, network.IMAGENET_MD5, str(tmp_path / "models"), "--weights none"):
        assert fact in str(caught.value)


def test_damaged_imagenet_weights_are_not_loaded(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / network.IMAGENET_FILE).write_bytes(b"half a file")
    with pytest.raises(SettingsError, match="damaged"):
        network.imagenet_file()


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_training_can_start_from_a_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "DAG_WIDTHS", (8,))
    keras.utils.set_random_seed(9)
    first = network.build(choose(height=32, width=32))
    path = tmp_path / f"first{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, while Keras saves
        first.save(path) if suffix == ".keras" else first.save_weights(path)
    second = network.build(choose(height=32, width=32, weights=str(path)))
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_the_trunk_can_start_from_a_notop_file(tmp_path: Path, resnet: tuple[keras.Model, TrainSettings]) -> None:
    trunk = resnet[0].get_layer(network.TRUNK)
    from keras.src.legacy.saving import legacy_h5_format  # the format of the published file

    path = tmp_path / "own_notop.h5"
    with warnings.catch_warnings(), h5py.File(path, "w") as file:
        warnings.simplefilter("ignore")  # of NumPy, while Keras saves
        legacy_h5_format.save_weights_to_hdf5_group(file, trunk)
    settings = TrainSettings(arch="resnet50", weights=str(path), height=64, width=64)
    loaded = network.build(settings).get_layer(network.TRUNK)
    assert all(np.array_equal(a, b) for a, b in zip(trunk.get_weights(), loaded.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5", "a_notop.h5"])
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(SettingsError, match="does not fit") as caught:
        network.build(choose(height=32, width=32, weights=str(tmp_path / name)))
    assert "\n" not in str(caught.value)
