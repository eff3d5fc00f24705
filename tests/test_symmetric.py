"""Symmetric matrices by blocks: against NumPy, on the host and by what is called on a device."""

from threading import Thread

import fake_cupy
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pixelflow.readouts import symmetric

SIZES = [1, 4, 5, 6, 17]
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-12}


@pytest.fixture(params=["numpy", "cupy"])
def xp(request, monkeypatch):
    """NumPy, or its stand-in for CuPy, with blocks and tiles of few columns."""
    for on in (symmetric.HostBlocks, symmetric.DeviceBlocks):
        for name, value in {"size": 5, "multiply_columns": 7, "mirror_columns": 3}.items():
            monkeypatch.setattr(on, name, value)
    monkeypatch.setattr(symmetric.HostBlocks, "solve_rows", 2)
    monkeypatch.setattr(symmetric, "TILE", 3)
    if request.param == "numpy":
        yield np
    else:
        with fake_cupy.ndarray.device:
            yield fake_cupy.installed(monkeypatch)


def on_host(array):
    return array if isinstance(array, np.ndarray) else array.get()


def definite(size, dtype):
    rows = np.random.default_rng(size).normal(size=(2 * size, size))
    return (rows.T @ rows + np.eye(size)).astype(dtype)


def below(size, dtype):
    """What no call may touch."""
    return np.tril(np.random.default_rng(0).normal(size=(size, size)), -1).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_factors_are_numpys_and_the_lower_triangle_stays(size, dtype, xp):
    system, kept = definite(size, dtype), below(size, dtype)
    matrix = xp.asarray(np.triu(system) + kept)
    symmetric.factorize(matrix)
    expected, tolerance = np.linalg.cholesky(system.astype(float)).T, TOLERANCE[dtype]
    assert np.allclose(np.triu(on_host(matrix)), expected, rtol=tolerance, atol=tolerance)
    assert np.array_equal(np.tril(on_host(matrix), -1), kept)

    right = np.random.default_rng(1).normal(size=(size, 3))
    found = symmetric.solve(matrix, xp.asarray(right))
    assert np.allclose(system @ on_host(found), right, atol=100 * tolerance)
    rows = xp.asarray(np.ascontiguousarray(right.T).astype(dtype))
    symmetric.forward(matrix, rows)
    assert np.allclose(on_host(rows) @ expected, right.T, atol=100 * tolerance)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares_are_added_to_the_upper_triangle(size, dtype, xp):
    system, kept = definite(size, dtype), below(size, dtype)
    rows = np.random.default_rng(2).normal(size=(7, size)).astype(dtype)
    matrix = xp.asarray(np.triu(system) + kept)
    symmetric.add_square(matrix, xp.asarray(rows))
    expected = np.triu(system.astype(float) + rows.T.astype(float) @ rows) + kept
    assert np.allclose(on_host(matrix), expected, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("size", SIZES)
def test_a_matrix_comes_back_from_its_lower_triangle(size, xp):
    system = definite(size, np.float32)
    matrix = xp.asarray(np.triu(system))
    symmetric.mirror(matrix)
    assert np.array_equal(on_host(matrix), system)
    assert np.allclose(on_host(symmetric.product(matrix, xp.asarray(np.eye(size)))), system)
    symmetric.factorize(matrix)
    symmetric.restore(matrix, xp.asarray(system.diagonal() + 2))
    assert np.array_equal(on_host(matrix), system + 2 * np.eye(size, dtype=np.float32))


@pytest.mark.parametrize("place", [0, 7, 16])
@pytest.mark.parametrize("bad", [-1000.0, np.nan])
def test_what_has_no_factor_is_an_error(place, bad, xp):
    system = definite(17, np.float64)
    system[place, place] = bad
    with pytest.raises(np.linalg.LinAlgError):
        symmetric.factorize(xp.asarray(system))


def test_blocks_of_columns_are_refused(monkeypatch):
    cupy = fake_cupy.installed(monkeypatch)
    matrix = cupy.asarray(np.asfortranarray(definite(4, np.float64)))
    with matrix.device, pytest.raises(ValueError, match="rows must be contiguous"):
        symmetric.factorize(matrix)


def test_threads_within_at_the_same_time_leave_blas_as_many_as_it_had():
    def threads():
        return {part["num_threads"] for part in threadpool_info() if part["user_api"] == "blas"}

    with threadpool_limits(2, "blas"):
        before = threads()
        with symmetric.ONE_THREAD:
            other = Thread(target=symmetric.ONE_THREAD.__enter__)
            other.start(), other.join()
            assert threads() == {1}
        assert threads() == {1}  # the other one goes on
        symmetric.ONE_THREAD.__exit__()
        assert threads() == before
