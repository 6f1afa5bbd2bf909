"""Split a network in two: the layers that no phase trains, whose outputs can be kept, and the tail that is trained."""

from __future__ import annotations

from typing import NamedTuple

import keras  # noqa: TID253 - only training imports this module

from model.settings import TrainSettings
from model.training.network import TRUNK


class Split(NamedTuple):
    """Two networks that share the layers of the whole one: tail(front(pixels)) is its logit.

    front: float32 [n, height, width, 1] to a list of features; tail: that list to float32 [n, 1].
    """

    front: keras.Model
    tail: keras.Model


def split(model: keras.Model, settings: TrainSettings) -> Split | None:
    """Split a network of `model.training.network.build`; None if it has no frozen layers."""
    if settings.arch != "resnet50":
        return None
    trunk = model.get_layer(TRUNK)
    first = len(trunk.layers) - settings.unfrozen
    features = _features(trunk, first)
    if not any(layer.weights for layer in trunk.layers[:first]):
        return None
    pixels = keras.Input(model.input_shape[1:], name="pixels", dtype="float32")
    front = keras.Model(pixels, keras.Model(trunk.input, features)(model.get_layer("caffe")(pixels)), name="front")
    inputs = [keras.Input(feature.shape[1:], dtype=feature.dtype) for feature in features]
    x = keras.Model(features, trunk.output)(inputs) if settings.unfrozen else inputs[0]
    for layer in model.layers[model.layers.index(trunk) + 1 :]:
        x = layer(x)
    return Split(front, keras.Model(inputs, x, name="tail"))


def _features(trunk: keras.Model, first: int) -> list[keras.KerasTensor]:
    """The outputs of the layers before `first` that layers from there on read, or the output of the trunk."""
    names = {layer.name for layer in trunk.layers[:first]}
    found: dict[str, keras.KerasTensor] = {}
    for layer in trunk.layers[first:]:
        for tensor in layer.input if isinstance(layer.input, list) else [layer.input]:
            source = tensor._keras_history.operation.name  # Keras has no public way from a tensor to its layer
            if source in names:
                found[source] = tensor
    return list(found.values()) or [trunk.output]
