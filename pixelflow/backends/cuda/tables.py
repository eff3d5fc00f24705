"""Tables of numbers in CUDA source, that its compiler sees through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(name: str, values: Iterable[object], kind: str = "int") -> str:
    """A function that returns the values for 0, 1 ..., and -1 beyond them."""
    chosen = "".join(f"i == {i} ? {value} : " for i, value in enumerate(values))
    return f"__device__ constexpr {kind} {name}(int i) {{ return {chosen}-1; }}"


def position(items: Sequence[int], item: int) -> int:
    """Where an item is in a sequence; -1 if it is not there."""
    return items.index(item) if item in items else -1
