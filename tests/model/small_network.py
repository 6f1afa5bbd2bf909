"""A small network with the kinds of layers that ours have."""

import numpy as np

from model.bundling import onnx

SIDE = 32  # pixels of its input


def small(seed: int = 1):
    """A network with what ours have: a normalization, branches that join, a dropout."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    pixels = keras.Input((SIDE, SIDE, 1), name="pixels")
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False)(pixels)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Concatenate()([layers.Conv2D(4, 1)(x), layers.Conv2D(4, 3, padding="same")(x)])
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, layers.Dense(1, name="logit")(x))


def trained():
    """That network, compiled and trained one step."""
    import keras

    model = small()
    model.compile(optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(onnx.trial_pictures(SIDE, SIDE), np.arange(12) % 2, verbose=0)
    return model
