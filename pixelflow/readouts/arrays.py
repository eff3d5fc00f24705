"""NumPy and CuPy under one name: which of them an array is of, and the little that differs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular


def namespace(array: Any) -> Any:
    """The module that an array is of: cupy, which is imported only then, or numpy."""
    if type(array).__module__.partition(".")[0] == "cupy":
        import cupy  # pyright: ignore[reportMissingImports]

        return cupy
    return np


def where(array: Any) -> AbstractContextManager:
    """A context in which new arrays are made on the device of this one."""
    return nullcontext() if namespace(array) is np else array.device


def to_host(array: Any) -> np.ndarray:
    """That array as NumPy's."""
    return np.asarray(array) if namespace(array) is np else array.get()


def cholesky(xp: Any, matrix: Any) -> Any:
    """The lower Cholesky factor; LinAlgError if the matrix isn't positive definite."""
    if xp is np:
        return np.linalg.cholesky(matrix)
    from cupyx import errstate  # pyright: ignore[reportMissingImports]

    with errstate(linalg="raise"):  # CuPy goes on with nonsense otherwise
        return xp.linalg.cholesky(matrix)


def substitute(xp: Any, factor: Any, right: Any, transposed: bool = False) -> Any:
    """What a lower triangle, or its transpose, has to be multiplied with to give `right`."""
    solver: Any = solve_triangular
    if xp is not np:
        from cupyx.scipy import linalg  # pyright: ignore[reportMissingImports]

        solver = linalg.solve_triangular
    return solver(factor, right, trans=int(transposed), lower=True, check_finite=False)
