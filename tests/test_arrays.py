"""Arrays of NumPy and CuPy under one name."""

import contextlib
from types import SimpleNamespace

import fake_cupy
import numpy as np
import pytest

from pixelflow.readouts import arrays


@pytest.mark.parametrize("size", [3, 4])
def test_a_large_square_of_the_gpu_has_memory_of_its_own(size, monkeypatch):
    """Where the pool's is in pieces, there is room for it still."""
    cupy = fake_cupy.installed(monkeypatch)
    monkeypatch.setattr(arrays, "LARGE", 4 * 4 * 4)
    allocators, freed, made = ["pool"], [], []

    @contextlib.contextmanager
    def using_allocator(allocator):
        allocators.append(allocator)
        yield
        allocators.pop()

    def empty(shape, dtype):
        made.append(allocators[-1])
        return fake_cupy.ndarray(np.empty(shape, dtype))

    pool = SimpleNamespace(free_all_blocks=lambda: freed.append(allocators[-1]))
    cupy.cuda.using_allocator = using_allocator
    monkeypatch.setattr(cupy, "empty", empty)
    monkeypatch.setattr(cupy, "get_default_memory_pool", lambda: pool, raising=False)
    found = arrays.square(cupy, size, np.float32)
    assert (found.shape, found.dtype) == ((size, size), np.float32)
    assert (made, freed) == (([None], ["pool"]) if size == 4 else (["pool"], []))
