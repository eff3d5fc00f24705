"""CUDA source compiled for the CPU, behind device.h, and its kernels called through ctypes."""

import ctypes
import hashlib
import re
import subprocess
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np

HEADER = Path(__file__).parent / "device.h"
KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^()]*\)\s*)?(\w+)\(")
FLAGS = ("-O1", "-std=c++17", "-ffp-contract=off", "-fno-strict-aliasing", "-fPIC", "-shared", "-w")
FLAGS += ("-fvisibility=hidden",)  # a kernel may be called as a function of the C library is
FLAGS += ("-U_FORTIFY_SOURCE",)  # its longjmp takes a change of stacks for an attack
FOLDER = tempfile.TemporaryDirectory(prefix="pixelflow-cuda-on-cpu-")
MOST_SHARED = 48 * 1024  # bytes that a block may have unless a kernel asks for more
GUARD = 256  # words before and behind each array, that no kernel may write
POISON = np.uint32(0x7FC0DEAD)  # a NaN
_LIBRARIES = {}
_GUARDED = weakref.WeakValueDictionary()  # arrays with guards, by their address
_LOCK = threading.Lock()
compiled = []  # the sources so far, in order


def library(code):
    """The shared library of a source, compiled once."""
    with _LOCK:
        if code not in _LIBRARIES:
            _LIBRARIES[code] = ctypes.CDLL(_compile(code))
            compiled.append(code)
        return _LIBRARIES[code]


def _compile(code):
    plain = _run(["c++", "-E", "-x", "c++", "-std=c++17", "-"], code)  # sections left out go
    launches = "\n".join(f"LAUNCHED({name})" for name in KERNEL.findall(plain))
    path = Path(FOLDER.name, hashlib.sha256(code.encode()).hexdigest()[:16] + ".so")
    text = f'#include "{HEADER}"\n{plain}\n{launches}\n'
    _run(["c++", *FLAGS, "-x", "c++", "-o", str(path), "-"], text)
    return str(path)


def _run(command, text):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr[:4000]}")
    return done.stdout


class Kernel:
    """One kernel of a library; calls to a library take turns, for its threads are its globals."""

    def __init__(self, code, name):
        self._launch = getattr(library(code), f"launch_{name}")
        self._launch.restype = ctypes.c_char_p
        self.name, self.max_dynamic_shared_size_bytes = name, MOST_SHARED

    def __call__(self, grid, block, args, shared_mem=0):
        if shared_mem > self.max_dynamic_shared_size_bytes or np.prod(block) > 1024:
            raise RuntimeError(
                f"{self.name}: CUDA_ERROR_INVALID_VALUE: {block}, {shared_mem} bytes"
            )
        if not all(0 < n <= most for n, most in zip(grid, (2**31 - 1, 65535, 65535), strict=False)):
            raise RuntimeError(f"{self.name}: CUDA_ERROR_INVALID_VALUE: grid {grid}")
        held = [_argument(a) for a in args]
        values = (ctypes.c_void_p * len(held))(*(v.ctypes.data for v in held))
        sizes = (ctypes.c_int * len(held))(*(v.nbytes for v in held))
        grid = (ctypes.c_int * 3)(*grid, *(1 for _ in range(3 - len(grid))))
        owners = [owner(a) for a in args if isinstance(a, np.ndarray)]
        results = []
        with _LOCK:
            for backward in (0, 1):
                size = int(np.prod(block))
                wrong = self._launch(values, sizes, len(held), grid, size, shared_mem, backward)
                if wrong:
                    raise RuntimeError(f"{self.name}: {wrong.decode()}")
                results.append([a.tobytes() for a in owners])
        if results[0] != results[1]:
            raise RuntimeError(f"{self.name}: its results depend on the order of its threads")
        for array in (a for a in owners if a.ctypes.data in _GUARDED):
            if (array[:GUARD] != POISON).any() or (array[-GUARD:] != POISON).any():
                raise RuntimeError(f"{self.name} wrote outside of an array")


def _argument(value):
    """A value as CuPy passes it, in memory of its own."""
    if isinstance(value, np.ndarray):
        if not hasattr(value, "get") or not value.flags.c_contiguous:
            raise TypeError(f"unsupported argument: {type(value)} {value.shape} {value.strides}")
        return np.array(value.ctypes.data, np.uint64)
    if isinstance(value, int):
        return np.array(value, np.int64)
    return np.array(value)


def guarded(size):
    """So many bytes, all NaN, between guards that no kernel may write."""
    whole = np.full(-(-size // 4) + 2 * GUARD, POISON)
    _GUARDED[whole.ctypes.data] = whole
    return whole[GUARD:-GUARD].view(np.uint8)[:size]


def owner(array):
    """The whole memory in which a view lies, guards and all."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array
