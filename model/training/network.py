"""Build the two networks, a fine-tuned ResNet50 and a compact DAG; both map raw grey pixels to one logit."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras  # noqa: TID253 - only training imports this module
import numpy as np
from keras import layers  # noqa: TID253

from model.files import file_digest
from model.settings import SettingsError, TrainSettings

IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_ADDRESS = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{IMAGENET_FILE}"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"
# The means that keras.applications.resnet.preprocess_input ("caffe" mode) subtracts from blue, green and red.
CAFFE_MEANS = (103.939, 116.779, 123.68)
TRUNK = "resnet50"
DAG_WIDTHS = (64, 128, 192)  # channels after each of the three halvings that follow the stem
FINE_TUNE_RATE = 0.1  # of the learning rate of the first phase


def build(settings: TrainSettings) -> keras.Model:
    """The network of `settings`: input "pixels" float32 [n, height, width, 1] in 0..255, output "logit" [n, 1].

    Raises SettingsError if the requested weights cannot be loaded.
    """
    precision = settings.precision
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
    pixels = keras.Input((settings.height, settings.width, 1), name="pixels", dtype="float32")
    features = _resnet50(pixels, settings) if settings.arch == "resnet50" else _dag(pixels, settings)
    model = keras.Model(pixels, _head(features, settings), name=settings.arch)
    if settings.weights not in ("imagenet", "none"):
        _load_file(model, Path(settings.weights))
    return model


def set_trainable(model: keras.Model, settings: TrainSettings, phase: int) -> None:
    """Set which layers are trainable in `phase` (1 or 2); it takes effect when the model is compiled.

    ResNet50: phase 1 freezes the whole trunk. Phase 2 trains its last `unfrozen` layers and freezes each of the
    others: setting trainable=True on the last ones alone would leave all layers trainable.
    """
    if settings.arch != "resnet50":
        return
    trunk = model.get_layer(TRUNK)
    trunk.trainable = True  # first, because the flag of the container overrides those of its layers
    unfrozen = trunk.layers[-settings.unfrozen :] if phase == 2 and settings.unfrozen else []
    for layer in trunk.layers:
        layer.trainable = layer in unfrozen


def trainable_state(model: keras.Model, settings: TrainSettings) -> list[keras.Variable]:
    """The variables that any phase may change, batch statistics included; without the 70 MB of the frozen trunk."""
    if settings.arch != "resnet50":
        return list(model.weights)
    trunk = model.get_layer(TRUNK)
    frozen = [model.get_layer("caffe"), *trunk.layers[: len(trunk.layers) - settings.unfrozen]]
    excluded = {id(variable) for layer in frozen for variable in layer.weights}
    return [variable for variable in model.weights if id(variable) not in excluded]


def compile_for(
    model: keras.Model, settings: TrainSettings, phase: int, steps: int, tail: keras.Model | None = None
) -> None:
    """Compile for one phase of `steps` optimizer steps: loss, optimizer and learning rate schedule.

    tail: the part of the network that is trained in its place, if that is split.

    The rate rises linearly for the share `warmup` of the steps, then decays along half a cosine to a hundredth of
    its peak (Loshchilov & Hutter 2017). It depends on the optimizer's step counter alone, so resuming is exact.
    """
    set_trainable(model, settings, phase)
    peak = settings.learning_rate * (FINE_TUNE_RATE if settings.arch == "resnet50" and phase == 2 else 1.0)
    warmup_steps = int(settings.warmup * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 100 if warmup_steps else peak,
        decay_steps=max(1, steps - warmup_steps),
        alpha=0.01,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    # XLA stays off: it is not deterministic with all operations that are used here.
    (tail or model).compile(
        optimizer=_optimizer(settings.optimizer, rate), loss=_loss(settings.loss), jit_compile=False
    )


def _optimizer(name: str, rate: keras.optimizers.schedules.LearningRateSchedule) -> keras.optimizers.Optimizer:
    # A fixed name: Keras numbers the optimizers of a process, and a resumed run would not find its variables.
    if name == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, name="optimizer")
    optimizers = {"adam": keras.optimizers.Adam, "nadam": keras.optimizers.Nadam, "adadelta": keras.optimizers.Adadelta}
    return optimizers[name](rate, name="optimizer")


def _loss(name: str) -> keras.losses.Loss:
    if name == "focal":  # Lin et al. 2017; gamma 2 as published, class weights balance the classes
        return keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=True)
    return keras.losses.BinaryCrossentropy(from_logits=True)


def _resnet50(pixels: keras.KerasTensor, settings: TrainSettings) -> keras.KerasTensor:
    """The pooled features [n, 2048] of ResNet50; its "caffe" preprocessing is a frozen convolution in the graph."""
    caffe = layers.Conv2D(3, 1, trainable=False, dtype="float32", name="caffe")
    bgr = caffe(pixels)
    # In a grey picture blue = green = red, so the channel reversal of preprocess_input becomes a row of ones.
    caffe.set_weights([np.ones((1, 1, 1, 3), np.float32), -np.array(CAFFE_MEANS, np.float32)])
    trunk = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(settings.height, settings.width, 3), name=TRUNK
    )
    if settings.weights == "imagenet":
        trunk.load_weights(str(imagenet_file()))
    _freeze_batch_statistics(trunk)
    return layers.GlobalAveragePooling2D(name="pool")(trunk(bgr))


def _freeze_batch_statistics(trunk: keras.Model) -> None:
    """Keep batch normalization in inference mode, also in layers whose gamma and beta are trained.

    trunk(x, training=False) is not enough: a training outer model overrides it with training=True (Keras 3.15).
    The layers keep Keras' own classes, so a saved model loads without this module.
    """
    for layer in trunk.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.call = partial(_call_in_inference_mode, layer.call)


def _call_in_inference_mode(
    call: Callable[..., Any], inputs: Any, training: bool | None = None, mask: Any = None
) -> Any:
    return call(inputs, training=False, mask=mask)


def _dag(pixels: keras.KerasTensor, settings: TrainSettings) -> keras.KerasTensor:
    """The pooled features of the compact network: a stem, then blocks of parallel branches.

    Each picture is first standardised by its own mean and variance, so that the exposure and the contrast of the
    film do not matter (a layer normalization over height, width and channel, without weights).
    """
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, dtype="float32", name="standardise")(
        pixels
    )
    x = _conv(x, 16, 3, "stem", strides=2)
    x = _conv(x, 24, 3, "low")
    for number, width in enumerate(DAG_WIDTHS, start=1):
        x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"down{number}")(x)
        x = _branches(x, width, f"block{number}a")
        if number > 1:
            x = _branches(x, width, f"block{number}b")
    return layers.GlobalAveragePooling2D(name="pool")(x)


def _branches(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    """Four parallel branches with receptive fields of 1, 3 and 5 pixels and max pooling, joined, plus a shortcut."""
    quarter = width // 4
    near = _conv(x, quarter, 1, f"{name}_near")
    middle = _conv(_conv(x, quarter, 1, f"{name}_middle1"), quarter, 3, f"{name}_middle2")
    far = _conv(x, quarter, 1, f"{name}_far1")
    far = _conv(_conv(far, quarter, 3, f"{name}_far2"), quarter, 3, f"{name}_far3")
    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    pooled = _conv(pooled, quarter, 1, f"{name}_pooled")
    joined = layers.Concatenate(name=f"{name}_join")([near, middle, far, pooled])
    joined = _conv(joined, width, 1, f"{name}_mix", activate=False)
    shortcut = x if x.shape[-1] == width else _conv(x, width, 1, f"{name}_shortcut", activate=False)
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([joined, shortcut]))


def _conv(
    x: keras.KerasTensor, filters: int, size: int, name: str, strides: int = 1, activate: bool = True
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def _head(x: keras.KerasTensor, settings: TrainSettings) -> keras.KerasTensor:
    """Dense layers, each with L2, batch normalization, ReLU and dropout; then one logit."""
    for number, units in enumerate(settings.dense, start=1):
        decay = keras.regularizers.L2(settings.l2) if settings.l2 else None
        x = layers.Dense(units, use_bias=False, kernel_regularizer=decay, name=f"dense{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"dense{number}_norm")(x)
        x = layers.ReLU(name=f"dense{number}_relu")(x)
        x = layers.Dropout(settings.dropout, name=f"dense{number}_dropout")(x)
    if not settings.dense:
        x = layers.Dropout(settings.dropout, name="dropout")(x)
    return layers.Dense(1, dtype="float32", name="logit")(x)


def imagenet_file() -> Path:
    """The ImageNet weights in Keras' cache, downloaded if missing. Raises SettingsError if that fails."""
    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    path = cache / IMAGENET_FILE
    try:
        if not path.is_file():
            path = Path(
                keras.utils.get_file(IMAGENET_FILE, IMAGENET_ADDRESS, cache_dir=cache.parent, cache_subdir="models")
            )
        digest = file_digest(path, "md5")
    except Exception as error:  # get_file raises urllib's, http's and its own errors
        raise SettingsError(
            f"no ImageNet weights: {IMAGENET_ADDRESS} cannot be downloaded ({error}). "
            f"Put that file (md5 {IMAGENET_MD5}) into {cache}, or train with --weights none."
        ) from error
    if digest != IMAGENET_MD5:
        raise SettingsError(
            f"{path} is damaged: its md5 is not {IMAGENET_MD5}. Remove it; the next run downloads it again."
        )
    return path


def _load_file(model: keras.Model, path: Path) -> None:
    """Load initial weights: a "notop" .h5 file of ResNet50 for the trunk, a .keras or .weights.h5 for the network."""
    try:
        if path.name.endswith(".keras"):
            model.set_weights(keras.models.load_model(path, compile=False).get_weights())
        elif path.name.endswith(".weights.h5"):
            model.load_weights(path)
        else:
            model.get_layer(TRUNK).load_weights(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"weights: {path} does not fit {model.name} at {model.input_shape[1]} x {model.input_shape[2]}: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
