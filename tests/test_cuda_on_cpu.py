"""The stand-in for CuPy and a GPU computes as CUDA does, and finds what is wrong in a kernel."""

import numpy as np
import pytest
from cuda_on_cpu import cupy

REVERSED = """
extern "C" __global__ void run(const float* from, float* to, int n) {
    extern __shared__ float4 shared[];
    float* words = reinterpret_cast<float*>(shared);
    const int lane = threadIdx.x % 32;
    words[threadIdx.x] = __shfl_xor_sync(~0u, from[blockIdx.x * n + threadIdx.x], 31);
    BARRIER;
    to[blockIdx.x * n + threadIdx.x] = words[n - 32 - threadIdx.x + 2 * lane];
}
"""


def reversing(barrier="__syncthreads()"):
    """A kernel that reverses rows, with that between what its threads write and read."""
    return REVERSED.replace("BARRIER", barrier)


def run(code, *more, threads=96, memory=96 * 4):
    kernel = cupy.RawModule(code).get_function("run")
    given = np.random.default_rng(0).random((3, threads), dtype=np.float32)
    found = cupy.empty(given.shape, np.float32)
    arguments = (cupy.asarray(given), found, *(more or [np.int32(threads)]))
    kernel((len(given),), (threads,), arguments, shared_mem=memory)
    return given, found.get()


def test_threads_meet_at_barriers_and_shuffles():
    given, found = run(reversing())
    assert np.array_equal(found, given[:, ::-1])


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ("", "depend on the order of its threads"),
        ("__syncwarp()", "depend on the order of its threads"),
        (
            "if (threadIdx.x < 90) __syncthreads()",
            "is stuck: thread 89 waits in its block, line 7; thread 95 ended",
        ),
        ("if (lane) __syncwarp(); __syncthreads()", "waits in its warp"),
        ("if (lane) return; __syncthreads()", "ended"),
        ("__shfl_sync(7u, 0.0f, lane)", "a part of its warp"),
        ("words[n + lane] = 0; __syncthreads()", "behind its 384 bytes of shared memory"),
        ("to[-1 - lane] = 0; __syncthreads()", "outside of an array"),
        ("to[3 * n + 2] = 0; __syncthreads()", "outside of an array"),
    ],
)
def test_a_wrong_kernel_is_an_error(instead, message):
    with pytest.raises(RuntimeError, match=message):
        run(reversing(instead))


def test_what_nobody_wrote_is_nan():
    code = reversing("words[0] = words[n]; __syncthreads()")
    assert np.isnan(run(code)[1][:, -32]).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memory": 2**16}, "INVALID_VALUE"),
        ({"threads": 1056}, "INVALID_VALUE"),
        ({"more": [96]}, "types"),
        ({"more": [np.int32(96), np.int32(0)]}, "types"),
    ],
)
def test_a_wrong_launch_is_an_error(given, message):
    with pytest.raises(RuntimeError, match=message):
        run(reversing(), *given.pop("more", ()), **given)


def test_memory_of_the_host_is_refused():
    kernel = cupy.RawModule(reversing()).get_function("run")
    with pytest.raises(TypeError, match="unsupported"):
        kernel((1,), (32,), (np.zeros(32, np.float32),) * 2)
    with pytest.raises(TypeError, match="is not"):
        cupy.empty(3, np.float32).set(np.zeros(3))
