"""Data and problems against published counts, other implementations and invariants."""

import sys

import numpy as np
import pytest
from sklearn.datasets import make_moons

from pixelflow.tasks import cifar10, fashion_mnist, mnist
from pixelflow.tasks.eikonal import solve_reference
from pixelflow.tasks.fetch import checksums, fetch
from pixelflow.tasks.synthetic import checkerboard, two_moons

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


# MNIST


@pytest.fixture(scope="module")
def digits():
    return mnist.load()


def test_mnist_is_the_published_one(digits):
    X_train, y_train, X_test, y_test = digits
    assert (X_train.shape, X_test.shape) == ((60000, 784), (10000, 784))
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert np.bincount(y_train).tolist() == TRAIN_COUNTS
    assert np.bincount(y_test).tolist() == TEST_COUNTS
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert (X_train.min(), X_train.max()) == (0, 1)
    assert X_train.mean(dtype=float) == pytest.approx(0.1307, abs=5e-5)  # as everybody normalises
    assert X_train.std(dtype=float) == pytest.approx(0.3081, abs=5e-5)


def test_mnist_pixels_are_bytes_times_one_float32(digits):
    raw = np.frombuffer(fetch("mnist")["t10k-images-idx3-ubyte"].read_bytes()[16:], np.uint8)
    scale = np.float32(1) / np.float32(255)
    np.testing.assert_array_equal(digits[2].ravel(), raw.astype(np.float32) * scale)


def test_mnist_checksums_are_the_published_ones():
    assert checksums("mnist") == {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }


def test_mnist_subset_is_a_reproducible_part_of_train(digits):
    X, y, X_test, y_test = mnist.load(subset=500, seed=3)
    rows = mnist.stratified_rows(digits[1], 500, 3)
    np.testing.assert_array_equal(X, digits[0][rows])
    np.testing.assert_array_equal(y, digits[1][rows])
    assert (X_test.shape, y_test.shape) == ((10000, 784), (10000,))


@pytest.mark.parametrize("size", [10, 11, 97, 1000, 59999, 60000])
def test_stratified_rows_keep_every_class_share(size):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), TRAIN_COUNTS))
    rows = mnist.stratified_rows(labels, size, seed=0)
    assert len(np.unique(rows)) == size
    assert (np.diff(rows) > 0).all()
    drawn = np.bincount(labels[rows], minlength=10)
    assert (np.abs(drawn - size * np.array(TRAIN_COUNTS) / 60000) < 1).all()
    assert drawn.min() >= 1
    np.testing.assert_array_equal(rows, mnist.stratified_rows(labels, np.int64(size), seed=0))
    if 97 <= size < 59999:
        assert not np.array_equal(rows, mnist.stratified_rows(labels, size, seed=1))


@pytest.mark.parametrize("size", [True, 100.0, "100", [100]])
def test_subset_of_another_type_is_refused(size):
    with pytest.raises(TypeError, match="subset must be an integer"):
        mnist.load(subset=size)


@pytest.mark.parametrize("size", [-1, 0, 9, 60001])
def test_subset_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match=f"from 10 .* to 60000, got {size}"):
        mnist.load(subset=size)


@pytest.mark.parametrize("subset", [None, 100])
@pytest.mark.parametrize("dataset", [mnist, fashion_mnist, cifar10])
@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (-1, ValueError, "seed must be at least 0, got -1"),
        (1.5, TypeError, "seed must be an integer, got 1.5"),
        (True, TypeError, "seed must be an integer, got True"),
        (None, TypeError, "seed must be an integer, got None"),
    ],
)
def test_bad_seed_is_refused_before_anything_is_fetched(
    dataset, seed, error, message, subset, monkeypatch
):
    monkeypatch.setattr("pixelflow.tasks.mnist.fetch", None)
    monkeypatch.setattr("pixelflow.tasks.cifar10.fetch", None)
    with pytest.raises(error, match=message):
        dataset.load(subset=subset, seed=seed)


HEADER = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3])


def test_idx_array_is_read(tmp_path):
    (tmp_path / "idx").write_bytes(HEADER + bytes(range(6)))
    np.testing.assert_array_equal(mnist.read_idx(tmp_path / "idx"), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must begin with 00 00 08"),
        (b"\x1f\x8b\x08\x00" + bytes(20), "must begin with 00 00 08.*, got 1f 8b 08"),
        (bytes([0, 0, 13, 1]) + bytes(8), "must begin with 00 00 08"),
        (HEADER[:9], "must have a header of 12 bytes, got 9"),
        (HEADER + bytes(5), r"says, \(2, 3\), got 5"),
        (HEADER + bytes(7), r"says, \(2, 3\), got 7"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "got 0"),
    ],
)
def test_malformed_idx_is_refused(content, message, tmp_path):
    (tmp_path / "idx").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        mnist.read_idx(tmp_path / "idx")


# synthetic


@pytest.mark.parametrize("arguments", [(200, 0.1, 0), (501, 0.0, 1), (2, 1, 2)])
def test_two_moons_is_scikit_learns(arguments):
    X, y = two_moons(*arguments)
    n, noise, seed = arguments
    X_expected, y_expected = make_moons(n_samples=n, noise=noise, random_state=seed)
    assert (X.dtype, y.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(X, X_expected.astype(np.float32))
    np.testing.assert_array_equal(y, y_expected)


@pytest.mark.parametrize("n_per_side", [1, 2, 4, 5])
def test_checkerboard_colours_its_cells(n_per_side):
    X, y = checkerboard(n_per_side, seed=7)
    assert (X.dtype, y.dtype) == (np.float32, np.int64)
    assert X.shape == (100 * n_per_side**2, 2)
    column, row = np.floor(X).astype(int).T
    np.testing.assert_array_equal(y, (row + column) % 2)
    np.testing.assert_array_equal(np.bincount(row * n_per_side + column), 100)
    if n_per_side == 5:  # uniform within the cell: 5000 draws of mean 1/2, variance 1/12
        assert np.mean(X % 1) == pytest.approx(1 / 2, abs=5 * np.sqrt(1 / 12 / 5000))
        assert np.var(X % 1) == pytest.approx(1 / 12, abs=5 * np.sqrt(1 / 180 / 5000))


def test_checkerboard_is_reproducible():
    np.testing.assert_array_equal(checkerboard(3, seed=1)[0], checkerboard(3, seed=1)[0])
    assert not np.array_equal(checkerboard(3, seed=1)[0], checkerboard(3, seed=2)[0])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: two_moons(1), ValueError),
        (lambda: two_moons(10.0), TypeError),
        (lambda: two_moons(True), TypeError),
        (lambda: two_moons(10, noise=-0.1), ValueError),
        (lambda: two_moons(10, noise=np.nan), ValueError),
        (lambda: two_moons(10, noise=None), TypeError),
        (lambda: two_moons(10, seed=-1), ValueError),
        (lambda: two_moons(10, seed=None), TypeError),
        (lambda: two_moons(10, seed=2**32), ValueError),
        (lambda: two_moons(10, noise=10**400), ValueError),
        (lambda: two_moons(10, noise=1e300), ValueError),
        (lambda: two_moons(10**12), ValueError),
        (lambda: checkerboard(0), ValueError),
        (lambda: checkerboard(2.0), TypeError),
        (lambda: checkerboard(10**6), ValueError),
        (lambda: checkerboard(2, seed=-1), ValueError),
    ],
)
def test_bad_synthetic_arguments_are_refused(call, error):
    with pytest.raises(error, match="must be"):
        call()


# Eikonal


def sweep(speed, source, obstacles=False):
    """Iterate the first-order upwind update of every cell until no arrival time falls."""
    times = np.full(speed.shape, np.inf)
    times[source] = 0
    while True:
        before = times.copy()
        for y, x in np.argwhere(~np.broadcast_to(obstacles, speed.shape)):
            around = np.pad(times, 1, constant_values=np.inf)
            a, b = sorted(
                (
                    min(around[y, x + 1], around[y + 2, x + 1]),
                    min(around[y + 1, x], around[y + 1, x + 2]),
                )
            )
            cost = 1 / speed[y, x]
            arrival = a + cost
            if b < arrival < np.inf:
                arrival = (a + b + np.sqrt(2 * cost**2 - (a - b) ** 2)) / 2
            times[y, x] = min(times[y, x], arrival)
        if np.array_equal(times, before):
            return times


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (8, 1), (7, 10)])
def test_fast_marching_equals_brute_force(shape):
    rng = np.random.default_rng(0)
    for _ in range(3):
        speed = rng.uniform(0.2, 2, shape)
        source = tuple(int(rng.integers(size)) for size in shape)
        times = solve_reference(speed, source)
        assert times.dtype == np.float64
        assert times[source] == 0
        np.testing.assert_allclose(times, sweep(speed, source), rtol=1e-12)


def test_masked_cells_are_obstacles():
    """Behind a wall with a gap the front arrives late; behind one without, never."""
    wall = np.zeros((5, 5), bool)
    wall[:4, 2] = True
    speed = np.ma.array(np.ones((5, 5)), mask=wall)
    times = solve_reference(speed, (0, 0))
    assert not np.ma.isMaskedArray(times) and times.dtype == np.float64
    assert solve_reference(speed.data, (0, 0))[0, 4] == 4
    assert times[0, 4] == pytest.approx(10.741804598955463, rel=1e-12)
    assert np.isposinf(times[wall]).all()
    wall[4, 2] = True
    closed = solve_reference(np.ma.array(np.ones((5, 5)), mask=wall), (0, 0))
    assert np.isposinf(closed[:, 2:]).all() and np.isfinite(closed[:, :2]).all()


@pytest.mark.parametrize("seed", range(3))
def test_fast_marching_around_obstacles_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    speed, obstacles = rng.uniform(0.2, 2, (7, 10)), rng.random((7, 10)) < 0.35
    obstacles[3, 4] = False
    masked = np.ma.array(np.where(obstacles, np.nan, speed), mask=obstacles)
    times = solve_reference(masked, (3, 4))
    np.testing.assert_allclose(times, sweep(speed, (3, 4), obstacles), rtol=1e-12)
    with pytest.raises(ValueError, match=r"source \(\d, \d\) is an obstacle"):
        solve_reference(masked, tuple(map(int, np.argwhere(obstacles)[0])))


def test_an_empty_mask_changes_nothing():
    speed = np.random.default_rng(0).uniform(0.2, 2, (6, 5))
    for mask in (False, np.zeros((6, 5), bool)):
        masked = np.ma.array(speed, mask=mask)
        np.testing.assert_array_equal(
            solve_reference(masked, (1, 2)), solve_reference(speed, (1, 2))
        )


def test_constant_speed_is_near_the_distance_and_exact_on_the_axes():
    times = solve_reference(np.full((65, 65), 0.5, np.float32), (32, 32))
    offset = np.abs(np.arange(65) - 32)
    distance = np.hypot(offset[:, None], offset)
    np.testing.assert_allclose(times[32], 2 * offset, rtol=1e-12)
    assert (times >= 2 * distance - 1e-9).all()  # first-order upwind arrives late
    assert np.max(times / 2 - distance) < 2
    for turned in (times.T, times[::-1], times[:, ::-1]):
        np.testing.assert_allclose(times, turned, rtol=1e-12)


def test_arrival_times_scale_and_move_with_the_problem():
    speed = np.random.default_rng(1).uniform(0.5, 1.5, (9, 12))
    times = solve_reference(speed, (2, 3))
    np.testing.assert_allclose(solve_reference(4 * speed, (2, 3)), times / 4, rtol=1e-12)
    np.testing.assert_allclose(solve_reference(speed.T, (3, 2)), times.T, rtol=1e-12)
    np.testing.assert_allclose(solve_reference(speed[::-1], (6, 3)), times[::-1], rtol=1e-12)
    strided = np.repeat(speed, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(solve_reference(strided, (2, 3)), times)
    np.testing.assert_array_equal(solve_reference(speed.tolist(), np.array([2, 3])), times)


@pytest.mark.parametrize(
    ("speed", "message"),
    [
        (np.ones(4), "2-D"),
        (np.ones((2, 3, 4)), "2-D"),
        (np.ones((0, 3)), "2-D"),
        ([[1, 0], [1, 1]], "> 0"),
        ([[1, -1], [1, 1]], "> 0"),
        ([[1, 1e-20], [1, 1]], "> 0"),
        ([[1, np.nan], [1, 1]], "finite"),
        ([[1, np.inf], [1, 1]], "finite"),
        (np.full((3, 3), 1e200), "grid must be finite and fit float32"),
        ([[1, 10**400], [1, 1]], "grid must be finite and fit float32"),
    ],
)
def test_bad_speed_is_refused(speed, message):
    with pytest.raises(ValueError, match=message):
        solve_reference(speed, (0, 0))


@pytest.mark.parametrize(
    "speed", [np.ones((3, 3), complex), [["1", "1"]], [[1, 1], [1]], [[None]], "ab"]
)
def test_what_are_no_speeds_is_refused(speed):
    with pytest.raises(TypeError, match="grid must be a number or numbers"):
        solve_reference(speed, (0, 0))


@pytest.mark.parametrize("size", [1e38, 1e-15])
def test_times_of_fast_and_slow_fields_scale(size):
    times = solve_reference(np.full((6, 7), size), (2, 3))
    np.testing.assert_allclose(times * size, solve_reference(np.ones((6, 7)), (2, 3)), rtol=1e-12)


@pytest.mark.parametrize("source", [(3, 0), (0, 4), (-1, 0), (0, -1)])
def test_source_outside_the_grid_is_refused(source):
    with pytest.raises(ValueError, match=r"source must be a cell .* of shape \(3, 4\), got"):
        solve_reference(np.ones((3, 4)), source)


@pytest.mark.parametrize(
    "source",
    [
        *(1, (1,), (1, 2, 3), (1.0, 2), "ab", b"ab", None, {1, 2}, frozenset((1, 2)), {1: 1, 2: 2}),
        *((True, False), np.array([True, False]), np.array([1.0, 2.0]), iter((1, 2)), [[1, 2]]),
    ],
)
def test_source_that_is_no_cell_is_refused(source):
    with pytest.raises(TypeError, match="two integers"):
        solve_reference(np.ones((3, 4)), source)


def test_without_scikit_fmm_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "skfmm", None)
    with pytest.raises(ImportError, match=r'pip install "pixelflow\[eikonal\]"'):
        solve_reference(np.ones((3, 4)), (0, 0))
