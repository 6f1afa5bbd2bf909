"""Order and augmentation depend on seed, epoch and sample only, and vary pictures as real films differ."""

import numpy as np
import pytest

from model import phantom
from model.images.decode import to_input
from model.settings import TrainSettings
from model.training import augment

SIDE = 48


@pytest.fixture(scope="module")
def films() -> tuple[np.ndarray, np.ndarray]:
    """Eleven drawings, uint8 [11, 48, 48, 1], and labels: not a multiple of the batch."""
    pixels = [to_input(phantom.draw(seed, 96, seed % 3 == 0), SIDE, SIDE) for seed in range(11)]
    return np.stack(pixels).astype(np.uint8), np.array([int(seed % 3 == 0) for seed in range(11)])


def settings(**changes: object) -> TrainSettings:
    return TrainSettings(**{"height": SIDE, "width": SIDE, "batch": 4, "seed": 5, **changes})


def batches(films: tuple[np.ndarray, np.ndarray], chosen: TrainSettings, epoch: int, skip: int = 0) -> list:
    return [tuple(part.numpy() for part in batch) for batch in augment.epoch_batches(*films, chosen, epoch, skip=skip)]


def test_class_weights_make_both_classes_count_the_same() -> None:
    weights = augment.class_weights(np.array([0, 1, 1, 1]))
    assert weights == pytest.approx([2.0, 2 / 3])
    assert np.all(np.isfinite(augment.class_weights(np.array([1, 1]))))


def test_every_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    orders = [augment.order(100, 7, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], augment.order(100, 8, 0))
    assert np.array_equal(orders[2], augment.order(100, 7, 2))


def test_order_and_augmentation_use_separate_random_streams() -> None:
    first, again = augment.random_numbers(50, 7, 0), augment.random_numbers(50, 7, 0)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, augment.random_numbers(50, 7, 1))
    assert first.min() >= -1
    assert first.max() <= 1


def test_batches_have_the_networks_shape_and_range(films: tuple[np.ndarray, np.ndarray]) -> None:
    batch_list = batches(films, settings(), epoch=0)
    assert [len(labels) for _, labels, _ in batch_list] == [4, 4, 3]
    pixels, labels, weights = batch_list[0]
    assert pixels.shape == (4, SIDE, SIDE, 1)
    assert (pixels.dtype, labels.dtype, weights.dtype) == (np.float32,) * 3
    assert labels.shape == (4, 1)
    assert 0 <= pixels.min() < pixels.max() <= 255
    by_class = augment.class_weights(films[1])
    assert np.array_equal(weights, by_class[labels[:, 0].astype(int)])


def test_an_epoch_can_be_replayed_from_any_batch(films: tuple[np.ndarray, np.ndarray]) -> None:
    whole = batches(films, settings(), epoch=3)
    for skip in range(len(whole) + 1):
        rest = batches(films, settings(), epoch=3, skip=skip)
        assert len(rest) == len(whole) - skip
        for one, other in zip(rest, whole[skip:], strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_sample_is_augmented_alike_in_any_batch(films: tuple[np.ndarray, np.ndarray]) -> None:
    order = augment.order(len(films[1]), 5, 2)
    by_sample = []
    for size in (4, 11):
        pixels = np.concatenate([batch[0] for batch in batches(films, settings(batch=size), epoch=2)])
        by_sample.append(pixels[np.argsort(order)])
    assert np.array_equal(*by_sample)


def test_epochs_differ_and_no_augmentation_gives_the_pictures_themselves(films: tuple[np.ndarray, np.ndarray]) -> None:
    def by_sample(chosen: TrainSettings, epoch: int) -> np.ndarray:
        pixels = np.concatenate([batch[0] for batch in batches(films, chosen, epoch)])
        return pixels[np.argsort(augment.order(len(films[1]), 5, epoch))]

    assert not np.array_equal(by_sample(settings(), 0), by_sample(settings(), 1))
    assert np.array_equal(by_sample(settings(augment=0.0), 1), films[0].astype(np.float32))


def test_without_class_weights_every_picture_weighs_one(films: tuple[np.ndarray, np.ndarray]) -> None:
    assert all(np.all(batch[2] == 1) for batch in batches(films, settings(class_weights=False), epoch=0))


def test_zero_augmentation_gives_the_identity_transform() -> None:
    zero = augment.affine(np.zeros((1, augment.RANDOM_NUMBERS), np.float32), settings())
    assert zero[0] == pytest.approx([1, 0, 0, 0, 1, 0, 0, 0], abs=1e-6)


def test_the_middle_of_the_film_moves_by_the_shift_alone() -> None:
    numbers = augment.random_numbers(200, 1, 1)
    numbers[:, 1:3] = 0
    numbers[:, 19:25] = 0
    a, b, right, c, d, down = augment.affine(numbers, settings(height=96))[:, :6].T
    x, y = (SIDE - 1) / 2, (96 - 1) / 2
    assert a * x + b * y + right == pytest.approx(x, abs=1e-3)
    assert c * x + d * y + down == pytest.approx(y, abs=1e-3)


def test_each_side_is_cut_by_itself_and_never_by_more_than_its_largest_share() -> None:
    numbers = np.zeros((1000, augment.RANDOM_NUMBERS), np.float32)
    numbers[:, 19:23] = augment.random_numbers(1000, 1, 1)[:, 19:23]
    numbers[:, -1] = 1  # full strength
    across, _, left, _, along, top = augment.affine(numbers, settings(height=96))[:, :6].T
    shares = np.stack([left / (SIDE - 1), top / 95, 1 - across - left / (SIDE - 1), 1 - along - top / 95])
    assert shares.min() > -1e-6 and 0.9 * augment.CROP < shares.max() <= augment.CROP + 1e-6
    assert np.all(((shares > 1e-6).mean(1) > 0.4) & ((shares > 1e-6).mean(1) < 0.6))
    assert np.abs(np.corrcoef(shares) - np.eye(4)).max() < 0.15


def test_all_sides_of_half_of_the_films_are_cut_alike() -> None:
    numbers = np.zeros((1000, augment.RANDOM_NUMBERS), np.float32)
    numbers[:, 24] = augment.random_numbers(1000, 1, 1)[:, 24]
    numbers[:, -1] = 1  # full strength
    across, _, left, _, along, top = augment.affine(numbers, settings(height=96))[:, :6].T
    shares = np.stack([left / (SIDE - 1), top / 95, 1 - across - left / (SIDE - 1), 1 - along - top / 95])
    assert shares[0].max() == pytest.approx(augment.CLOSER, rel=0.05)
    assert np.abs(shares - shares[0]).max() < 1e-5
    assert 0.4 < (shares[0] > 1e-6).mean() < 0.6


def test_details_change_and_what_is_large_stays() -> None:
    fine = (np.indices((SIDE, SIDE)).sum(0)[..., np.newaxis] % 2 * 20 - 10).astype(np.float32)
    large = np.repeat(np.float32([100, 150]), SIDE // 2)[np.newaxis, :, np.newaxis]
    number = np.zeros(augment.RANDOM_NUMBERS, np.float32)
    number[25] = number[-1] = 1
    number[7] = -1 / 3  # neither blurred nor sharpened
    identity = np.float32([1, 0, 0, 0, 1, 0, 0, 0])
    altered = augment.augment(large + fine, number, identity, np.int32([0, 0]), 1.0).numpy()
    inside = altered[8:-8, 4:12, 0]
    assert inside.mean() == pytest.approx(100, abs=1)
    assert inside.std() == pytest.approx(10 * np.exp(augment.DETAIL), rel=0.1)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_curve_keeps_black_grey_and_white_and_the_order_of_the_values(sign: int) -> None:
    number = np.zeros(augment.RANDOM_NUMBERS, np.float32)
    number[26], number[-1] = sign, 1
    number[7] = -1 / 3
    ramp = np.linspace(0, 255, SIDE, dtype=np.float32)[np.newaxis, :, np.newaxis].repeat(SIDE, 0)
    identity = np.float32([1, 0, 0, 0, 1, 0, 0, 0])
    row = augment.augment(ramp, number, identity, np.int32([0, 0]), 1.0).numpy()[SIDE // 2, :, 0]
    assert np.all(np.diff(row) > 0)
    assert row[[0, -1]] == pytest.approx([0, 255], abs=1e-3)
    assert (row[SIDE // 4] < ramp[0, SIDE // 4, 0]) == (sign > 0)


def test_the_strongest_augmentation_leaves_a_fifth_of_each_side() -> None:
    """Twice the designed strength would cut a half from each side, and leave nothing."""
    numbers = np.zeros((1, augment.RANDOM_NUMBERS), np.float32)
    numbers[:, 19:23] = numbers[:, -1] = 1
    across, along = augment.affine(numbers, settings(augment=2.0))[0, [0, 4]]
    assert (across, along) == (pytest.approx(0.2), pytest.approx(0.2))


def test_a_factor_of_the_grey_values_makes_bright_parts_white_and_leaves_black() -> None:
    number = np.zeros(augment.RANDOM_NUMBERS, np.float32)
    number[23] = number[-1] = 1
    number[7] = -1 / 3  # neither blurred nor sharpened
    picture = np.repeat(np.float32([0, 100, 200])[:, np.newaxis, np.newaxis], 48, 1).repeat(16, 0)
    identity = np.float32([1, 0, 0, 0, 1, 0, 0, 0])
    altered = augment.augment(picture, number, identity, np.int32([0, 0]), 1.0).numpy()[[4, 24, 44], 24, 0]
    assert altered == pytest.approx([0, 100 * np.exp(augment.EXPOSURE), 255], abs=0.5)


@pytest.mark.parametrize("mirror", [False, True])
def test_pictures_are_mirrored_only_on_request(mirror: bool) -> None:
    flipped = augment.affine(augment.random_numbers(400, 1, 1), settings(mirror=mirror))[:, 0] < 0
    assert 0.4 < flipped.mean() < 0.6 if mirror else not flipped.any()


def test_shapes_vary_as_much_as_the_squash_gives_away() -> None:
    transforms = augment.affine(augment.random_numbers(500, 1, 1), settings())
    aspect = np.abs(transforms[:, 0] / transforms[:, 4])
    # Kermany's classes differ by 1.50 / 1.24 = 1.21 in width / height: the augmentation has to cover that.
    assert np.quantile(aspect, 0.9) / np.quantile(aspect, 0.1) > 1.21


def test_the_film_stays_a_film_at_double_strength(films: tuple[np.ndarray, np.ndarray]) -> None:
    for pixels, _, _ in batches(films, settings(augment=2.0), epoch=0):
        assert np.all(np.isfinite(pixels))
        assert pixels.min() >= 0
        assert pixels.max() <= 255
        assert np.all(pixels.std(axis=(1, 2, 3)) > 2)


def test_some_samples_are_left_alone_and_some_get_all() -> None:
    shares = augment.sample_strength(augment.random_numbers(4000, 1, 1), 1.0)
    assert 0.04 < np.mean(shares == 0) < 0.09
    assert 0.25 < np.mean(shares == 1) < 0.37
    assert augment.sample_strength(augment.random_numbers(4000, 1, 1), 0.5).max() == 0.5


def test_a_sample_left_alone_is_the_picture_itself(films: tuple[np.ndarray, np.ndarray]) -> None:
    numbers = augment.random_numbers(1, 1, 1)
    numbers[0, -1] = -1
    picture = films[0][0].astype(np.float32)
    augmented = augment.augment(picture, numbers[0], augment.affine(numbers, settings())[0], np.array([1, 2]), 1.0)
    assert np.abs(augmented.numpy() - picture).max() < 0.01


def test_turning_the_film_brings_no_black_corners() -> None:
    grey = np.full((SIDE, SIDE, 1), 128, np.float32)
    numbers = np.zeros((1, augment.RANDOM_NUMBERS), np.float32)
    numbers[0, [0, 3, 18, 19]] = (1, 1, -1, 1)  # turned and smaller, no box, all of the strength
    augmented = augment.augment(grey, numbers[0], augment.affine(numbers, settings())[0], np.array([1, 2]), 1.0)
    assert augmented.numpy().min() > 100


def test_views_come_back_in_turn(films: tuple[np.ndarray, np.ndarray]) -> None:
    """By sample, because the order of an epoch is its own."""

    def pictures(epoch: int, views: int) -> np.ndarray:
        parts = [batch[0] for batch in batches(films, settings(views=views), epoch)]
        return np.concatenate(parts)[np.argsort(augment.order(len(films[1]), 5, epoch))]

    assert np.array_equal(pictures(0, 2), pictures(2, 2)) and np.array_equal(pictures(1, 2), pictures(3, 2))
    assert not np.array_equal(pictures(0, 2), pictures(1, 2))
    assert not np.array_equal(pictures(0, 0), pictures(2, 0))
