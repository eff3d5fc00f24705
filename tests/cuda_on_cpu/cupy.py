"""The names of CuPy that pixelflow uses, on a CPU: its arrays are NumPy's, its kernels C++."""

import ctypes
import time
from types import SimpleNamespace

import numpy as np
from cuda_on_cpu.compiler import Kernel, guarded

__version__ = "on a CPU"
DEVICES = 2
SHARED = 227 * 1024  # bytes of shared memory that a block may ask for


class ndarray(np.ndarray):
    """An array in the memory of the device."""

    def get(self, stream=None, out=None, blocking=True):
        if out is None:
            return np.array(self, subok=False)
        _same(out, self)
        out[...] = self
        return out

    def set(self, array, stream=None):
        _same(array, self)
        self[...] = array


def _same(host, device):
    if (host.shape, host.dtype) != (device.shape, device.dtype) or isinstance(host, ndarray):
        raise TypeError(f"{host.shape} {host.dtype} is not {device.shape} {device.dtype}")
    if not host.flags.c_contiguous:
        raise RuntimeError("a copy to or from the device needs contiguous memory")


def empty(shape, dtype=float):
    """NaN until it is written."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return guarded(size).view(dtype).reshape(shape).view(ndarray)


def asarray(array):
    if isinstance(array, ndarray):
        return array
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


def ones(shape, dtype=float):
    made = empty(shape, dtype)
    made[...] = 1
    return made


copyto = np.copyto


def ascontiguousarray(array):
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


class OutOfMemoryError(MemoryError):
    pass


class CUDARuntimeError(RuntimeError):
    pass


class RawModule:
    def __init__(self, code, options=(), backend="nvrtc"):
        self._code = code

    def get_function(self, name):
        return Kernel(self._code, name)


def RawKernel(code, name):
    return Kernel(code, name)


class Event:
    def record(self):
        self.time = time.perf_counter()

    def synchronize(self):
        pass


def get_elapsed_time(start, stop):
    """Milliseconds."""
    return (stop.time - start.time) * 1e3


class Device:
    def __init__(self, number=0):
        if not 0 <= number < DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.attributes = {"MaxSharedMemoryPerBlockOptin": SHARED}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Stream:
    def __init__(self, non_blocking=False):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        pass


def _properties(number):
    return {"name": b"device of the tests"}


def alloc_pinned_memory(size):
    return (ctypes.c_char * size)()


def get_default_memory_pool():
    return SimpleNamespace(free_all_blocks=lambda: None)


cuda = SimpleNamespace(
    Device=Device,
    Event=Event,
    get_elapsed_time=get_elapsed_time,
    Stream=Stream,
    get_current_stream=Stream,
    alloc_pinned_memory=alloc_pinned_memory,
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
    runtime=SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=lambda: DEVICES,
        getDeviceProperties=_properties,
        deviceSynchronize=lambda: None,
    ),
)
