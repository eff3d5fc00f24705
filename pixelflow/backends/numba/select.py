"""A choice between two numbers for emitted Numba code, without a branch."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


@intrinsic
def select(typing_context: Any, condition: Any, a: Any, b: Any) -> Any:
    """``a if condition else b``, of two numbers of one type, as one instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    if a == b:  # else no overload is found, which is an error
        return a(types.boolean, a, a), generate
