"""Fashion-MNIST and CIFAR-10 against their published counts, labels and statistics."""

import numpy as np
import pytest

from pixelflow.tasks import cifar10, fashion_mnist
from pixelflow.tasks.fetch import checksums, fetch
from pixelflow.tasks.mnist import stratified_rows


@pytest.fixture(scope="module")
def clothes():
    return fashion_mnist.load()


@pytest.fixture(scope="module")
def photographs():
    return cifar10.load()


def test_fashion_mnist_is_the_published_one(clothes):
    X_train, y_train, X_test, y_test = clothes
    assert (X_train.shape, X_test.shape) == ((60000, 784), (10000, 784))
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert np.bincount(y_train).tolist() == [6000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
    assert y_train[:5].tolist() == [9, 0, 0, 3, 0]
    assert y_test[:5].tolist() == [9, 2, 1, 1, 6]
    assert (X_train.min(), X_train.max()) == (0, 1)
    assert X_train.mean(dtype=float) == pytest.approx(0.2860, abs=5e-5)  # as everybody normalises
    assert X_train.std(dtype=float) == pytest.approx(0.3530, abs=5e-5)
    assert [fashion_mnist.CLASSES[label] for label in y_train[:2]] == ["Ankle boot", "T-shirt/top"]


def test_fashion_mnist_subset_is_a_reproducible_part_of_train(clothes):
    X, y, X_test, _ = fashion_mnist.load(subset=500, seed=3)
    rows = stratified_rows(clothes[1], 500, 3)
    np.testing.assert_array_equal(X, clothes[0][rows])
    np.testing.assert_array_equal(y, clothes[1][rows])
    assert np.bincount(y).tolist() == [50] * 10
    assert X_test.shape == (10000, 784)


def test_cifar10_is_the_published_one(photographs):
    X_train, y_train, X_test, y_test = photographs
    assert (X_train.shape, X_test.shape) == ((50000, 3072), (10000, 3072))
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert np.bincount(y_train).tolist() == [5000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
    assert y_train[:5].tolist() == [6, 9, 9, 4, 1]
    assert y_test[:5].tolist() == [3, 8, 8, 0, 6]
    assert (X_train.min(), X_train.max()) == (0, 1)
    colours = X_train.reshape(-1, 3)  # red, green, blue, as everybody normalises
    means, deviations = colours.mean(0, dtype=float), colours.std(0, dtype=float)
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=6e-5)
    np.testing.assert_allclose(deviations, [0.2470, 0.2435, 0.2616], atol=6e-5)
    assert [cifar10.CLASSES[label] for label in y_train[:2]] == ["frog", "truck"]


@pytest.mark.parametrize(("part", "batch", "row"), [(0, "data_batch_3", 17), (2, "test_batch", 3)])
def test_cifar10_pixels_are_the_raw_bytes_in_reading_order(photographs, part, batch, row):
    raw = fetch("cifar10")[f"{batch}.bin"].read_bytes()[row * 3073 : (row + 1) * 3073]
    at = row + (20000 if batch == "data_batch_3" else 0)
    assert photographs[part + 1][at] == raw[0]
    image = photographs[part][at].reshape(32, 32, 3)
    scale = np.float32(1) / np.float32(255)
    for y, x, channel in np.ndindex(image.shape):
        assert image[y, x, channel] == np.float32(raw[1 + 1024 * channel + 32 * y + x]) * scale


def test_cifar10_grey_is_the_luma_of_the_colours(photographs):
    X_train, y_train, X_test, _ = cifar10.load(subset=1000, seed=1, grayscale=True)
    rows = stratified_rows(photographs[1], 1000, 1)
    np.testing.assert_array_equal(y_train, photographs[1][rows])
    for grey, colour in ((X_train, photographs[0][rows]), (X_test, photographs[2])):
        assert grey.dtype == np.float32
        assert 0 <= grey.min() and grey.max() <= 1
        red, green, blue = colour.astype(float).reshape(len(colour), 1024, 3).transpose(2, 0, 1)
        np.testing.assert_allclose(grey, 0.299 * red + 0.587 * green + 0.114 * blue, atol=1e-6)


@pytest.mark.parametrize("size", [10, 101, 49999, 50000])
def test_cifar10_subset_is_a_reproducible_part_of_train(photographs, size):
    X, y, X_test, y_test = cifar10.load(subset=size, seed=3)
    rows = stratified_rows(photographs[1], size, 3)
    assert X.shape == (size, 3072)
    np.testing.assert_array_equal(y, photographs[1][rows])
    np.testing.assert_array_equal(X[::7], photographs[0][rows[::7]])
    np.testing.assert_array_equal(X[-1], photographs[0][rows[-1]])
    assert (X_test.shape, y_test.shape) == ((10000, 3072), (10000,))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"subset": 9}, ValueError, "from 10 .* to 50000, got 9"),
        ({"subset": 50001}, ValueError, "from 10 .* to 50000, got 50001"),
        ({"subset": 100.0}, TypeError, "subset must be an integer"),
        ({"subset": 100, "seed": -1}, ValueError, "seed must be at least 0"),
        ({"subset": 100, "seed": 1.5}, TypeError, "seed must be an integer"),
        ({"grayscale": "no"}, TypeError, "grayscale must be True or False, got 'no'"),
        ({"grayscale": 1}, TypeError, "grayscale must be True or False, got 1"),
    ],
)
def test_bad_cifar10_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        cifar10.load(**arguments)


def test_checksums_are_the_published_ones():
    assert list(checksums("fashion_mnist").values()) == [
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ]
    assert list(checksums("cifar10").values()) == [
        "5dd7e06a14cb22eb9f671a540d1b7c25",
        "5ea93a67294ea407fff1d09f752e9692",
        "942cd6a4bcdd0dd3c604fbe906cb4421",
        "ae636b3ba5c66a11e91e8cb52e771fcb",
        "53f37980c15c3d472c316c40844f3f0d",
        "803d5f7f4d78ea53de84dbe85f74fb6d",
    ]
