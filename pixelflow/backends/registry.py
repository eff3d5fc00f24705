"""The backends by name, what each must offer, and the choice of one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pixelflow.checks import choice, integer

if TYPE_CHECKING:
    from pixelflow.core.plan import Plan

logger = logging.getLogger("pixelflow")

BACKENDS = ("cuda", "moderngl", "numba", "cpu")  # "auto" takes the first that can run here
FLOAT32_ONLY = ("cuda", "moderngl")
SOFTWARE = "(software)"  # ends what a backend says of a renderer that "auto" passes over


class Prepared(Protocol):
    """A plan that is ready to run: its code compiled, its arrays where they are used.

    All arrays are NumPy's, C-contiguous, of the plan's dtype; textures are (n, M, H, W, C).
    """

    def features(self, X: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (N, D) with the features of inputs `X`: encode, take all steps, read.

        `X` is (N, D_in), or (N, M, D_in) where each member has an input of its own; of the plan's
        dtype, or uint8 for levels of 1/255.
        """
        ...

    def batches(self, X: np.ndarray, size: int) -> Iterator[Any]:
        """Features of `size` inputs at a time, on the device where the backend has one."""
        ...

    def advance(self, states: np.ndarray, ended: np.ndarray, first: int, steps: int) -> None:
        """Take textures through steps, the first of which is number `first`, and fill `ended`.

        `ended` shares no memory with `states`.
        """
        ...

    def run_sequence(
        self,
        states: np.ndarray,
        inputs: np.ndarray,
        ended: np.ndarray,
        out: np.ndarray | None,
        first: int,
    ) -> None:
        """Drive textures by inputs (n, T, K), and fill `ended` and `out` (n, T, D).

        The plan's drive adds each input, then come the plan's steps, the first of all being number
        `first`, then the probe reads; without `out` nothing is read.
        """
        ...

    def converge(
        self, states: np.ndarray, ended: np.ndarray, tol: float, every: int, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take each texture through steps until it rests, and fill `ended`.

        A texture stops at the first check, every `every` steps and after `most`, at which its
        largest change in one step is at most `tol`, or is no finite number.

        Returns
        -------
        counts, changes : int64 and float64 arrays (n, M)
            How many steps each texture took, and its largest change in the last of them.
        """
        ...


class Resident(Protocol):
    """Inputs on a device, whose features are computed again and again, and stay there."""

    def times(self, n: int) -> list[float]:
        """Device time, seconds, of each of n runs from inputs to features; warmed up."""
        ...

    def features(self) -> np.ndarray:
        """The features, in the host's memory."""
        ...

    def release(self) -> None:
        """Give the device's memory back."""
        ...


class PreparedOnDevice(Prepared, Protocol):
    """What is prepared on a backend whose memory is not the host's."""

    def resident(self, X: np.ndarray) -> Resident:
        """Upload X; return a handle that computes its features again on the device."""
        ...


class Backend(Protocol):
    """What a backend module offers."""

    def describe(self, device: int | None = None) -> str:
        """What it runs on here, or on that GPU; called often, so it is quick.

        ImportError or RuntimeError, with the remedy, if it can't run; ValueError if there is no
        such device.
        """
        ...

    def prepare(self, plan: Plan, exact: bool, device: int | None) -> Prepared:
        """The plan, ready to run; what that takes is kept with the plan (`Plan.keep`)."""
        ...


def get_backend(name: str, device: int | None = None, dtype: str = "float32") -> Backend:
    """The backend of that name, able to run, on that GPU; "auto" is the fastest that can.

    Raises
    ------
    ValueError
        If there is no such backend or device, or if it doesn't compute in that type.
    ImportError, RuntimeError
        If it can't run here; the message says what is missing.
    """
    choice("backend", name, ["auto", *sorted(BACKENDS)])
    if device is not None:
        device = integer("device", device, 0)
    if dtype == "float64" and name in FLOAT32_ONLY:
        raise ValueError(
            f"backend {name!r} computes in float32, and the config's dtype is 'float64': take "
            "backend 'numba' or 'cpu', or dtype 'float32'"
        )
    backend = _load(_fastest(dtype) if name == "auto" else name)
    backend.describe(device)
    return backend


def available_backends() -> dict[str, str]:
    """The backends that can run here, fastest first, and what each runs on.

    Examples
    --------
    >>> from pixelflow import available_backends
    >>> "cpu" in available_backends()
    True
    """
    return {name: text for name in BACKENDS if (text := _probe(name)[0])}


def forked(backend: str) -> RuntimeError:
    """What to raise in a process forked from one that used a GPU: no driver survives that."""
    return RuntimeError(
        f"backend {backend!r} can't run in a process forked from one that used it: start workers "
        "afresh, as joblib does, or multiprocessing.get_context('spawn')"
    )


def _load(name: str) -> Backend:
    return import_module(f"pixelflow.backends.{name}")  # pyright: ignore[reportReturnType]


@cache
def _probe(name: str) -> tuple[str, str]:
    """What a backend runs on and why it can't: one of the two is empty."""
    try:
        return _load(name).describe(), ""
    except (ImportError, RuntimeError) as error:
        return "", str(error)


@cache
def _fastest(dtype: str = "float32") -> str:
    names = [n for n in BACKENDS if dtype == "float32" or n not in FLOAT32_ONLY]
    chosen = next(n for n in names if _probe(n)[0] and not _probe(n)[0].endswith(SOFTWARE))
    passed = "".join(f"; {n} can't run: {_probe(n)[1]}" for n in names if _probe(n)[1])
    logger.info("backend auto: %s (%s)%s", chosen, _probe(chosen)[0], passed)
    return chosen


def _forget() -> None:
    _probe.cache_clear()
    _fastest.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # in a child, other backends can run
