"""CuPy's names by NumPy, for code that should run on both: what CuPy refuses is refused here.

Arrays of the device and of the host don't mix, and the host gets at the former by `get` alone.
"""

import contextlib
import sys
import types
from types import MappingProxyType

import fake_cuda_libraries
import numpy as np
from scipy import fft as scipy_fft

COMPARED = ("eq", "ne", "lt", "le", "gt", "ge")
BINARY = ("add", "sub", "mul", "truediv", "pow", "matmul")


class Device(contextlib.AbstractContextManager):
    """A desktop's GPU."""

    mem_info = (8e9, 8e9)
    attributes = MappingProxyType({"SingleToDoublePrecisionPerfRatio": 64})

    depth = 0  # of contexts

    def __enter__(self):
        self.depth += 1
        return self

    def __exit__(self, *error):
        self.depth -= 1


class ndarray:
    """An array in the memory of the device."""

    __module__ = "cupy"
    __array_ufunc__ = None
    __hash__ = None
    device = Device()

    def __init__(self, held):
        self.held = held

    def __array__(self, *arguments, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __getattr__(self, name):
        if name.startswith("__") or name == "held":
            raise AttributeError(name)
        found = getattr(self.held, name)
        return _wrapped_function(found) if callable(found) else _wrapped(found)

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.held.ctypes.data)

    def get(self):
        return np.array(self.held)

    def __len__(self):
        return len(self.held)

    def __bool__(self):
        return bool(self.held)

    def __float__(self):
        return float(self.held)

    def __int__(self):
        return int(self.held)

    def __neg__(self):
        return _wrapped(-self.held)

    def __getitem__(self, index):
        return _wrapped(self.held[_index(index)])

    def __setitem__(self, index, values):
        self.held[_index(index)] = _held(values)


def _operator(name):
    def operate(self, other):
        other = _held(other)
        if "matmul" in name and 0 in (*self.held.shape, *other.shape):
            raise ValueError("nothing is multiplied")
        if name.startswith("__i"):
            self.held[...] = getattr(self.held, "__" + name[3:])(other)
            return self
        return _wrapped(getattr(self.held, name)(other))

    return operate


for _name in (*COMPARED, *BINARY, *(f"r{n}" for n in BINARY), *(f"i{n}" for n in BINARY)):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def _held(value):
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("an array of the host where one of the device belongs")
    if isinstance(value, list | tuple):
        return type(value)(map(_held, value))
    return value.held if isinstance(value, ndarray) else value


def _index(index):
    return tuple(map(_held, index)) if isinstance(index, tuple) else _held(index)


def _wrapped(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value)) if value.dtype.kind in "biufc" else value
    if isinstance(value, tuple) and value and all(isinstance(v, np.ndarray) for v in value):
        return tuple(map(_wrapped, value))
    return value


def _wrapped_function(function):
    def call(*arguments, **options):
        options = {key: _held(value) for key, value in options.items()}
        return _wrapped(function(*map(_held, arguments), **options))

    return call


def _named(module, name):
    found = getattr(module, name)
    return found if isinstance(found, type) else _wrapped_function(found)


def installed(monkeypatch):
    """The stand-in as modules cupy and cupyx."""
    cupy, cupyx = types.ModuleType("cupy"), types.ModuleType("cupyx")
    cupy.__getattr__ = lambda name: _named(np, name)
    cupy.ndarray = ndarray
    cupy.asarray = lambda a: a if isinstance(a, ndarray) else ndarray(np.array(a))
    cupy.linalg = types.SimpleNamespace(
        eigh=lambda a, UPLO: tuple(map(_wrapped, np.linalg.eigh(a.held, UPLO))),
        lstsq=lambda a, b, rcond: [_wrapped(np.linalg.lstsq(a.held, b.held, rcond)[0])],
    )
    fake_cuda_libraries.installed(cupy)
    cupy.cuda.Device = Device
    scipy = types.ModuleType("cupyx.scipy")
    fft = types.ModuleType("cupyx.scipy.fft")
    fft.__getattr__ = lambda name: _named(scipy_fft, name)
    cupyx.scipy, scipy.fft = scipy, fft
    for module in (cupy, cupyx, scipy, fft):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return cupy
