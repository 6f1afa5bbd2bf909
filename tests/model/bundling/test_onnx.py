"""The exported files: equal to the Keras model or refused, and the same bytes each time."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model.bundling import onnx
from model.bundling.onnx import ExportError
from tests.model.small_network import SIDE, small

# Keras 3 asks TensorFlow for arrays in a way that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def test_the_exported_file_has_the_one_interface(model, tmp_path: Path) -> None:
    onnx.to_onnx(model, tmp_path / "model.onnx")
    runtime = onnx.session(tmp_path / "model.onnx")
    (model_input,), (answer,) = runtime.get_inputs(), runtime.get_outputs()
    assert (model_input.name, model_input.type, model_input.shape) == ("pixels", "tensor(float)", ["N", SIDE, SIDE, 1])
    assert (answer.name, answer.type, answer.shape) == ("logit", "tensor(float)", ["N", 1])
    pictures = onnx.trial_pictures(SIDE, SIDE)
    many = runtime.run(["logit"], {"pixels": pictures})[0][:, 0]
    assert onnx.logits(runtime, pictures) == pytest.approx(many, abs=1e-5)
    assert many == pytest.approx(np.asarray(model(pictures))[:, 0], abs=1e-4)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]


def test_compare_measures_the_largest_difference(model, tmp_path: Path) -> None:
    onnx.to_onnx(model, tmp_path / "model.onnx")
    assert onnx.compare(model, tmp_path / "model.onnx") <= onnx.TOLERANCE
    with pytest.raises(ExportError, match="differ by"):
        onnx.compare(small(seed=2), tmp_path / "model.onnx")


def test_a_difference_that_the_temperature_brings_out_is_found(model, tmp_path: Path) -> None:
    import keras

    onnx.to_onnx(model, tmp_path / "model.onnx")
    nudged = keras.models.clone_model(model)
    *other_weights, bias = model.get_weights()
    nudged.set_weights([*other_weights, bias + 2e-5])
    assert onnx.compare(nudged, tmp_path / "model.onnx") <= onnx.TOLERANCE
    with pytest.raises(ExportError, match="differ by"):
        onnx.compare(nudged, tmp_path / "model.onnx", temperature=0.1)


def test_a_network_that_gives_no_number_is_refused(tmp_path: Path) -> None:
    model = small()
    *other_weights, bias = model.get_weights()
    model.set_weights([*other_weights, bias * np.nan])
    onnx.to_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(ExportError, match="differ by nan"):
        onnx.compare(model, tmp_path / "model.onnx")


def test_a_file_that_onnx_runtime_refuses_is_refused(model, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no network")
    with pytest.raises(ExportError, match="cannot load the exported model"):
        onnx.compare(model, tmp_path / "model.onnx")


class Fake:
    """Replaces a Keras model by one with another exporter."""

    input_shape = (None, SIDE, SIDE, 1)

    def __init__(self, write) -> None:
        self.export = write

    def __call__(self, pictures: np.ndarray, training: bool) -> np.ndarray:
        return pictures.mean(axis=(1, 2))


def fake_export(inputs: list, outputs: list):
    """A replacement for a Keras model whose exporter reports success with this signature."""
    from onnx import TensorProto, helper, save

    def write(path: str, **_: object) -> None:
        nodes = [helper.make_node("Identity", [inputs[0][0]], [name]) for name, _ in outputs]
        values = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side]
            for side in (inputs, outputs)
        ]
        save(helper.make_model(helper.make_graph(nodes, "fake", *values)), path)

    return Fake(write)


PIXELS, LOGIT = ("pixels", ["n", SIDE, SIDE, 1]), ("logit", ["n", 1])


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([PIXELS, ("preprocessed", ["n", 3])], [LOGIT], "2 inputs and 1 outputs"),
        ([PIXELS], [LOGIT, ("second", ["n", 1])], "1 inputs and 2 outputs"),
        ([("pixels", ["n", 64, 64, 1])], [LOGIT], "input of the exported model"),
        ([PIXELS], [("logit", ["n", 2])], "output of the exported model"),
    ],
)
def test_an_export_with_another_signature_is_refused(inputs, outputs, words: str, tmp_path: Path) -> None:
    """Preprocessing outside a layer is exported as a second, unused input, and the exporter reports success."""
    with pytest.raises(ExportError, match=words):
        onnx.to_onnx(fake_export(inputs, outputs), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.repeat  # a bundle's version, of its files' digests, is the same below
def test_both_files_are_the_same_bytes_each_time(model, tmp_path: Path) -> None:
    for number in (1, 2):
        onnx.to_onnx(model, tmp_path / f"{number}.onnx")
        onnx.save_keras(model, tmp_path / f"{number}.keras")
    assert (tmp_path / "1.onnx").read_bytes() == (tmp_path / "2.onnx").read_bytes()
    assert (tmp_path / "1.keras").read_bytes() == (tmp_path / "2.keras").read_bytes()


def test_the_keras_file_is_whole_and_has_no_optimizer(model, tmp_path: Path) -> None:
    import keras

    onnx.save_keras(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert json.loads(archive.read("metadata.json"))["date_saved"] == ""
    assert model.optimizer is not None  # the run may go on


def test_an_offset_goes_into_the_last_bias_of_a_copy(model) -> None:
    pictures = onnx.trial_pictures(SIDE, SIDE)
    before = np.asarray(model(pictures))
    assert np.asarray(onnx.with_offset(model, 1.25)(pictures)) == pytest.approx(before + 1.25, abs=1e-5)
    assert np.array_equal(np.asarray(model(pictures)), before)


def test_a_network_without_a_last_bias_is_refused() -> None:
    import keras

    pixels = keras.Input((SIDE, SIDE, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(pixels)
    with pytest.raises(ExportError, match="no single bias"):
        onnx.with_offset(keras.Model(pixels, keras.layers.Dense(1, use_bias=False)(pooled)), 1.0)
