"""Arrays of NumPy and CuPy under one name."""

import contextlib
from types import SimpleNamespace

import fake_cupy
import numpy as np
import pytest

from pixelflow.readouts import arrays


class CUDARuntimeError(RuntimeError):
    """CuPy's, of a failed allocation too."""


@pytest.fixture
def cupy(monkeypatch):
    """CuPy with what `outside_pool` calls, the allocators in use, and that of each emptying."""
    module = fake_cupy.installed(monkeypatch)
    module.cuda.allocators, module.cuda.emptied = ["pool"], []

    @contextlib.contextmanager
    def using_allocator(allocator):
        module.cuda.allocators.append(allocator)
        try:
            yield
        finally:
            module.cuda.allocators.pop()

    def free_all_blocks():
        module.cuda.emptied.append(module.cuda.allocators[-1])

    pool = SimpleNamespace(free_all_blocks=free_all_blocks)
    module.cuda.using_allocator = using_allocator
    module.cuda.runtime = SimpleNamespace(CUDARuntimeError=CUDARuntimeError)
    monkeypatch.setattr(module, "get_default_memory_pool", lambda: pool, raising=False)
    monkeypatch.setattr(arrays, "OWN_MEMORY", 4 * 4 * 4)
    return module


def test_a_large_matrix_of_the_gpu_is_apart_from_the_pool(cupy):
    with arrays.outside_pool(cupy, 3, np.float32):
        assert cupy.cuda.allocators == ["pool"]
    with arrays.outside_pool(cupy, 4, np.float32):
        assert cupy.cuda.allocators == ["pool", None]
    assert (cupy.cuda.allocators, cupy.cuda.emptied) == (["pool"], ["pool"])


def test_no_room_for_a_large_matrix_is_a_memory_error(cupy):
    with pytest.raises(MemoryError, match="GiB of a matrix of 4 features"):
        with arrays.outside_pool(cupy, 4, np.float32):
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
    assert cupy.cuda.allocators == ["pool"]


def test_the_host_has_no_pool(monkeypatch):
    monkeypatch.setattr(arrays, "OWN_MEMORY", 0)
    with arrays.outside_pool(np, 4, np.float32):
        assert np.zeros((4, 4)).sum() == 0
