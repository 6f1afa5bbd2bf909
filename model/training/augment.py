"""Training batches whose order and augmentation depend on seed, epoch and sample alone."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf  # noqa: TID253 - only training imports this module

from model.settings import TrainSettings

# For chest X-rays at strength 1. The geometric changes are small because the patient stands upright; the aspect
# varies more, because resizing to a square reveals the class (the pneumonia films of the data set are wider).
ROTATION = 12.0  # degrees in both directions
SHIFT = 0.08  # of the side, in both directions
ZOOM = 0.15  # factor exp(+-0.15)
ASPECT = 0.25  # width / height times exp(+-0.25)
SHEAR = 0.08
CROP = 0.2  # largest share cut off each side, by itself; half of the sides are cut
CLOSER = 0.15  # largest share cut off all sides alike, besides; half of the pictures are
MOST_CROPPED = 0.4  # of a side, at any strength: a fifth of the picture is left
EXPOSURE = 0.55  # factor exp(+-0.55), so that bright parts become white
GAMMA = 0.8  # exponent exp(+-0.8)
CURVE = 0.7  # of a curve of grey values that is steeper or flatter in the middle, as those of vendors are
DETAIL = 0.7  # details against what is larger than about an eighth of the picture: factor exp(+-0.7)
CONTRAST = 0.35  # factor exp(+-0.35) around middle grey
BRIGHTNESS = 0.15  # of full scale, in both directions
SLOPE = 0.25  # largest difference in brightness between two sides, of full scale: scatter, grid, tilted tube
BLUR = 1.0  # largest share of the 3x3 mean that is blended in; the smallest, -0.5, sharpens
NOISE = 0.04  # largest standard deviation, of full scale
ERASED = 0.4  # largest side of an erased box, so that the network does not rely on side markers and text
RANDOM_NUMBERS = 28  # per sample


def class_weights(labels: np.ndarray) -> np.ndarray:
    """The weights of class 0 and 1, float32 [2], that give both the same total: n / (2 n_class)."""
    counts = np.bincount(labels, minlength=2).astype(np.float64)
    return (len(labels) / (2 * np.maximum(counts, 1))).astype(np.float32)


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `count` samples in `epoch`, int64 [count]."""
    return np.random.Generator(np.random.Philox(key=[seed, 2 * epoch])).permutation(count)


def random_numbers(count: int, seed: int, epoch: int) -> np.ndarray:
    """Uniform numbers in -1..1, float32 [count, RANDOM_NUMBERS]; a row belongs to a sample, not to a position."""
    uniform = np.random.Generator(np.random.Philox(key=[seed, 2 * epoch + 1])).random((count, RANDOM_NUMBERS))
    return (2 * uniform - 1).astype(np.float32)


def views(settings: TrainSettings) -> int:
    """How many altered copies of each picture there are; 0 if each epoch makes new ones."""
    return settings.views if settings.augment else 1


def view(settings: TrainSettings, epoch: int) -> int:
    """The number of the copies that `epoch` uses; epochs of the same number use the same pixels."""
    return epoch % views(settings) if views(settings) else epoch


def epoch_batches(
    pixels: np.ndarray,
    labels: np.ndarray,
    settings: TrainSettings,
    epoch: int,
    skip: int = 0,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """The batches of `epoch`, starting at batch `skip`, so that a run can resume in the middle of an epoch.

    pixels: uint8 [n, height, width, 1]; labels: int [n]. Yields (float32 [b, height, width, 1] in 0..255,
    float32 [b, 1], weight float32 [b]). The last batch may be smaller; `drop_remainder` leaves it out then.
    """
    indices = order(len(labels), settings.seed, epoch)[skip * settings.batch :]
    weights = class_weights(labels) if settings.class_weights else np.ones(2, np.float32)
    copy = view(settings, epoch)
    numbers = random_numbers(len(labels), settings.seed, copy)
    store = tf.constant(pixels)
    per_sample = (indices, numbers[indices], affine(numbers, settings)[indices], labels[indices])

    def sample(index: tf.Tensor, number: tf.Tensor, transform: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, ...]:
        picture = tf.cast(store[index], tf.float32)
        if settings.augment:
            noise_seed = tf.stack([settings.seed ^ copy << 16, tf.cast(index, tf.int32)])
            picture = augment(picture, number, transform, noise_seed, settings.augment)
        return picture, tf.cast(label, tf.float32)[tf.newaxis], tf.gather(weights, label)

    batches = tf.data.Dataset.from_tensor_slices(per_sample).map(
        sample, num_parallel_calls=len(os.sched_getaffinity(0)), deterministic=True
    )
    return batches.batch(settings.batch, drop_remainder=drop_remainder).prefetch(2)


def sample_strength(numbers: np.ndarray | tf.Tensor, strength: float) -> np.ndarray | tf.Tensor:
    """The strength for a sample, chosen by its last number: 0 for 1 in 16, full for 3 in 10, else in between.

    If every training picture were altered, unaltered ones, as they are scored later, would look different: a network
    trained that way gave them logits lower by 4.
    """
    share = 0.7 + 0.8 * numbers[..., -1]
    limit = tf.clip_by_value if tf.is_tensor(share) else np.clip
    return strength * limit(share, 0.0, 1.0)


def affine(numbers: np.ndarray, settings: TrainSettings) -> np.ndarray:
    """Transforms float32 [n, 8] from output to input pixels, as ImageProjectiveTransformV3 takes them.

    numbers: -1..1 [n, RANDOM_NUMBERS]. Rotation, shear, zoom, aspect and shift around the centre of the picture;
    mirrored only if the settings say so.
    """
    height, width = settings.height, settings.width
    scaled = sample_strength(numbers.astype(np.float64), settings.augment)[:, np.newaxis] * numbers[:, :6]
    turn, right, down, zoom, aspect, shear = scaled.T
    angle = np.deg2rad(ROTATION) * turn
    across = np.exp(ZOOM * zoom + ASPECT / 2 * aspect)
    along = np.exp(ZOOM * zoom - ASPECT / 2 * aspect)
    if settings.mirror:
        across = np.where(numbers[:, 6] < 0, -across, across)
    cosine, sine, lean = np.cos(angle), np.sin(angle), SHEAR * shear
    # In units of each side, so that shear has the same effect in wide and in high pictures.
    a, b = across * cosine, across * (lean * cosine - sine) * width / height
    c, d = along * sine * height / width, along * (lean * sine + cosine)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    shift_x = middle_x + SHIFT * width * right - a * middle_x - b * middle_y
    shift_y = middle_y + SHIFT * height * down - c * middle_x - d * middle_y
    left, top, wide, high = _crop(numbers, settings)
    shift_x, shift_y = a * left + b * top + shift_x, c * left + d * top + shift_y
    zero = np.zeros_like(a)
    return np.stack([a * wide, b * high, shift_x, c * wide, d * high, shift_y, zero, zero], axis=1).astype(np.float32)


def _crop(numbers: np.ndarray, settings: TrainSettings) -> tuple[np.ndarray, ...]:
    """The window that is left of a picture when its sides are cut: left and top in pixels, width and height as shares.

    Films of other hospitals show more or less around the chest. The share of the area that the window leaves is drawn
    alike for both classes, so that it says nothing about them.
    """
    strength = sample_strength(numbers.astype(np.float64), settings.augment)[:, np.newaxis]
    cut = CROP * np.maximum(numbers[:, 19:23], 0.0) + CLOSER * np.maximum(numbers[:, 24:25], 0.0)
    left, right, top, bottom = np.minimum(strength * cut, MOST_CROPPED).T
    return left * (settings.width - 1), top * (settings.height - 1), 1 - left - right, 1 - top - bottom


@tf.function(autograph=False)  # else each epoch would trace it again
def augment(
    picture: tf.Tensor, number: tf.Tensor, transform: tf.Tensor, noise_seed: tf.Tensor, strength: float
) -> tf.Tensor:
    """An altered copy of a picture, float32 [height, width, 1] in 0..255, determined by the random numbers alone.

    number: -1..1 [RANDOM_NUMBERS]; transform: [8] of affine(); noise_seed: int32 [2].
    """
    height, width = picture.shape[0], picture.shape[1]
    strength = sample_strength(number, strength)
    # Reflected borders: no scored picture has black ones, and they moved every logit by 3.
    picture = tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    mean = tf.nn.avg_pool2d(picture, 3, 1, "SAME")
    coarse = _coarse(picture)
    picture = picture + strength * BLUR * (0.25 + 0.75 * number[7]) * (mean - picture)
    picture = (coarse + tf.exp(strength * DETAIL * number[25]) * (picture - coarse))[0] / 255.0
    picture = tf.clip_by_value(picture, 0.0, 1.0) ** tf.exp(strength * GAMMA * number[8])
    picture -= strength * CURVE * number[26] * tf.sin(2 * np.pi * picture) / (2 * np.pi)
    picture = tf.minimum(picture * tf.exp(strength * EXPOSURE * number[23]), 1.0)
    contrast, brightness = tf.exp(strength * CONTRAST * number[9]), strength * BRIGHTNESS * number[10]
    x, y = tf.linspace(-0.5, 0.5, width)[tf.newaxis, :, tf.newaxis], tf.linspace(-0.5, 0.5, height)[:, tf.newaxis]
    slope = strength * SLOPE * (number[11] * x + number[12] * y[:, :, tf.newaxis])
    picture = (picture - 0.5) * contrast + 0.5 + brightness + slope
    noise = tf.random.stateless_normal([height, width, 1], noise_seed)
    picture += strength * NOISE * tf.maximum(number[13], 0.0) * noise
    return tf.clip_by_value(_erase(picture, number[14:19], strength), 0.0, 1.0) * 255.0


def _coarse(picture: tf.Tensor) -> tf.Tensor:
    """What is larger than about an eighth of a picture, float32 [1, height, width, 1]."""
    height, width = picture.shape[1], picture.shape[2]
    cell = max(1, min(height, width) // 20)
    small = tf.nn.avg_pool2d(tf.nn.avg_pool2d(picture, cell, cell, "SAME"), 3, 1, "SAME")
    return tf.image.resize(small, [height, width])


def _erase(picture: tf.Tensor, number: tf.Tensor, strength: float) -> tf.Tensor:
    """Fill a box with one grey value, with probability 1/2 (Random Erasing, Zhong et al. 2020)."""
    height, width = picture.shape[0], picture.shape[1]
    x, y = tf.linspace(-1.0, 1.0, width)[tf.newaxis, :], tf.linspace(-1.0, 1.0, height)[:, tf.newaxis]
    half_x, half_y = strength * ERASED * tf.abs(number[2]), strength * ERASED * tf.abs(number[3])
    inside = (tf.abs(x - number[0]) < half_x) & (tf.abs(y - number[1]) < half_y) & (number[4] > 0)
    return tf.where(inside[:, :, tf.newaxis], tf.abs(number[0]), picture)
