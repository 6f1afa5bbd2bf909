"""Write a Keras model as ONNX and as a .keras file, reproducible byte for byte, and compare what they compute."""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model import phantom
from model.evaluation.calibrate import sigmoid
from model.images.decode import to_input

if TYPE_CHECKING:
    import keras
    import onnx
    import onnxruntime

INPUT, OUTPUT = "pixels", "logit"
_OFFSET = "calibration_offset"
TOLERANCE = 1e-5  # largest difference of a probability between Keras and ONNX Runtime


class ExportError(Exception):
    """The exported model differs from the trained one; the message says how. No bundle was made."""


def to_onnx(model: keras.Model, path: Path) -> None:
    """Write `model` to `path` with one input "pixels" float32 [N, H, W, 1] and one output "logit" float32 [N, 1].

    Raises ExportError if the exported graph has another signature: the exporter turns preprocessing outside of a
    layer into a second input, which nobody feeds, and reports success.
    """
    import onnx

    model(
        trial_pictures(*model.input_shape[1:3])[:1], training=False
    )  # the exporter refuses a loaded model that was never called
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        raw = Path(folder) / "raw.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # from NumPy, used by tf2onnx
            model.export(str(raw), format="onnx", verbose=False)
        graph = onnx.load(raw)
    _check_signature(graph, model)
    _rename(graph)
    onnx.checker.check_model(graph)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def save_keras(model: keras.Model, path: Path) -> None:
    """Write `model` to `path` as .keras without its optimizer and without the date, which varies."""
    import keras

    copy = copy_of(model)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        raw = Path(folder) / "raw.keras"
        copy.save(raw)
        with zipfile.ZipFile(raw) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name == "metadata.json":
                    content = json.dumps({"keras_version": keras.__version__, "date_saved": ""}).encode()
                target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # HDF5 pads its groups


def copy_of(model: keras.Model) -> keras.Model:
    """A copy of a network with the same weights, not compiled and so without an optimizer."""
    import keras

    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def with_offset(model: keras.Model, offset: float) -> keras.Model:
    """A copy of `model` whose logit is higher by `offset`, which is added to the bias of its last layer."""
    copy = copy_of(model)
    bias = getattr(copy.layers[-1], "bias", None)
    if bias is None or bias.shape != (1,):
        raise ExportError(
            f"the last layer, {copy.layers[-1].name}, has no single bias to which the offset can be added"
        )
    bias.assign(bias + offset)
    return copy


def add_offset(source: Path, target: Path, offset: float) -> None:
    """Write the ONNX file `source` to `target` with a logit that is higher by `offset`.

    Raises ExportError if the new file does not give logits that are higher by it.
    """
    import onnx

    graph = onnx.load(source)
    body = graph.graph
    last = next(node for node in body.node if OUTPUT in node.output)
    earlier = next((tensor for tensor in body.initializer if tensor.name == _OFFSET and _OFFSET in last.input), None)
    value = float(onnx.numpy_helper.to_array(earlier)[0]) if earlier is not None else 0.0
    added = onnx.numpy_helper.from_array(np.array([value + offset], np.float32), _OFFSET)
    if earlier is not None:
        earlier.CopyFrom(added)
    else:
        before = f"{OUTPUT}_before_offset"
        last.output[:] = [before if name == OUTPUT else name for name in last.output]
        body.initializer.append(added)
        body.node.append(onnx.helper.make_node("Add", [before, _OFFSET], [OUTPUT], name=_OFFSET))
    onnx.checker.check_model(graph)
    target.write_bytes(graph.SerializeToString(deterministic=True))
    _, height, width, _ = session(source).get_inputs()[0].shape
    pictures = trial_pictures(height, width)
    wanted, measured = (logits(session(path), pictures) for path in (source, target))
    if not np.allclose(measured, wanted + offset, rtol=1e-5, atol=1e-5):
        raise ExportError("the network with the offset does not give logits that are higher by it")


def session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session of the model file on the CPU, as serving opens it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def logits(runtime: onnxruntime.InferenceSession, pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Logits, float32 [n], of pictures [H, W, 1] in 0..255, one at a time as serving does."""
    rows = [
        runtime.run([OUTPUT], {INPUT: np.asarray(picture, np.float32)[np.newaxis]})[0][0, 0] for picture in pictures
    ]
    return np.asarray(rows, dtype=np.float32)


def compare(model: keras.Model, path: Path, temperature: float = 1.0) -> float:
    """The largest difference of a probability between `model` and the ONNX file, over synthetic and random images.

    Raises ExportError if it exceeds TOLERANCE or is NaN, or if ONNX Runtime cannot load the file.
    """
    height, width = model.input_shape[1:3]
    pictures = trial_pictures(height, width)
    expected = np.asarray(model(pictures, training=False))[:, 0]
    try:
        measured = logits(session(path), pictures)
    except Exception as error:  # the exception types of ONNX Runtime are not public
        raise ExportError(f"ONNX Runtime cannot load the exported model: {error}") from error
    difference = float(np.max(np.abs(sigmoid(expected, temperature) - sigmoid(measured, temperature))))
    if not difference <= TOLERANCE:  # also true for NaN
        raise ExportError(f"ONNX and Keras differ by {difference:.1e} in probability; at most {TOLERANCE:g} is allowed")
    return difference


@cache
def trial_pictures(height: int, width: int) -> np.ndarray:
    """Twelve seeded images float32 [12, H, W, 1] in 0..255: 6 synthetic radiographs, 4 of noise, 1 black, 1 white.

    The array is made once and read-only.
    """
    drawings = [to_input(phantom.draw(seed, 256, seed % 2 == 1), height, width) for seed in range(6)]
    noise = np.random.default_rng(7).uniform(0, 255, (4, height, width, 1)).astype(np.float32)
    flat = [np.full((height, width, 1), value, np.float32) for value in (0, 255)]
    pictures = np.stack([*drawings, *noise, *flat])
    pictures.setflags(write=False)
    return pictures


def _check_signature(graph: onnx.ModelProto, model: keras.Model) -> None:
    constants = {tensor.name for tensor in graph.graph.initializer}
    inputs = [value for value in graph.graph.input if value.name not in constants]
    outputs = list(graph.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        names = ", ".join(value.name for value in [*inputs, *outputs])
        raise ExportError(
            f"the exported model has {len(inputs)} inputs and {len(outputs)} outputs ({names}), not one of each: "
            "put all preprocessing into layers"
        )
    for kind, value, expected in (("input", inputs[0], model.input_shape), ("output", outputs[0], (None, 1))):
        shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type != 1 or shape != [size or 0 for size in expected]:
            raise ExportError(f"the {kind} of the exported model is {shape}, not float32 {list(expected)}")


def _rename(graph: onnx.ModelProto) -> None:
    """Name and order all tensors by first use; the names of the exporter contain a counter that varies."""
    body = graph.graph
    weights = {tensor.name: tensor for tensor in body.initializer}
    names: dict[str, str] = {"": "", body.input[0].name: INPUT, body.output[0].name: OUTPUT}
    used = []
    for number, node in enumerate(body.node):
        node.name = f"{node.op_type}_{number}"
        for name in [*node.input, *node.output]:
            if name in weights and name not in names:
                used.append(weights[name])
            names.setdefault(name, f"t{len(names)}")
        for side in (node.input, node.output):
            side[:] = [names[name] for name in side]
    for tensor in [*used, body.input[0], body.output[0]]:
        tensor.name = names[tensor.name]
    copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in used]
    del body.initializer[:], body.value_info[:]
    body.initializer.extend(copies)
    body.name, body.doc_string, graph.doc_string = "pneumonia", "", ""
    for value in (body.input[0], body.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
