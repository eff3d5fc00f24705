"""Weighted sums of cells for emitted Numba code: a few sums of many cells at once, in registers.

Numba's own loops over cells would be written out in full to keep sums in registers, and spilled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

REAL = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
INDEX = ir.IntType(64)


def convolution(firsts: tuple[int, ...], k: int, channels: int, lanes: int) -> Callable[..., None]:
    """A function for compiled code that convolves `lanes` neighbouring cells.

    ``convolve(cells, weights, sums, start, to, pitch)`` sums, for each of the numbers `firsts`,
    the k k channels weights from there on times the cells around ``cells[:, start + i]``, and
    writes ``sums[j, to + i]`` for i below `lanes`. Each sum is made over rows, columns and
    channels in this order.

    Parameters
    ----------
    firsts : tuple of int
        Numbers of the weights with which each sum begins; a few, so that the sums fit registers.
    k, channels : int
        The window's side, and how many planes it sees.
    lanes : int
        Cells at once; any power of two, whatever the processor has.
    """

    def generate(builder, real, arrays, numbers):
        (cells, plane), (weights, _), (sums, row_of_sums) = arrays
        start, to, pitch = numbers
        corner = builder.sub(start, builder.mul(builder.add(pitch, INDEX(1)), INDEX(k // 2)))
        with _Loop(builder, INDEX(k), _zeros(real, len(firsts), lanes)) as row:
            line = builder.add(corner, builder.mul(row.count, pitch))
            with _Loop(builder, INDEX(k), row.values) as column:
                tap = builder.add(builder.mul(row.count, INDEX(k)), column.count)
                tap = builder.mul(tap, INDEX(channels))
                first = builder.add(line, column.count)
                for c in range(channels):
                    at = builder.add(first, builder.mul(plane, INDEX(c)))
                    numbers = [builder.add(tap, INDEX(number + c)) for number in firsts]
                    column.values = _added(builder, column.values, cells, at, weights, numbers)
            row.values = column.values
        _store(builder, row.values, sums, to, row_of_sums)

    @intrinsic
    def convolve(typing_context, cells, weights, sums, start, to, pitch):
        return _compilable(generate, (cells, weights, sums), 3)

    return convolve


def mixture(rows: int, lanes: int) -> Callable[..., None]:
    """A function for compiled code that makes `rows` weighted sums of values, for `lanes` cells.

    ``mix(values, weights, sums, block)`` writes ``weights[j] @ values[block].reshape(-1, lanes)``
    to ``sums[j, block * lanes + i]`` for i below `lanes`. Blocks have all of a cell's values close
    by: planes of cells would put them pages apart, and one in a cache's place of another.
    """

    def generate(builder, real, arrays, numbers):
        (values, size), (weights, taps), (sums, row_of_sums) = arrays
        (block,) = numbers
        first = builder.mul(block, size)
        with _Loop(builder, taps, _zeros(real, rows, lanes)) as tap:
            place = builder.add(first, builder.mul(tap.count, INDEX(lanes)))
            numbers = [builder.add(tap.count, builder.mul(taps, INDEX(row))) for row in range(rows)]
            tap.values = _added(builder, tap.values, values, place, weights, numbers)
        _store(builder, tap.values, sums, builder.mul(block, INDEX(lanes)), row_of_sums)

    @intrinsic
    def mix(typing_context, values, weights, sums, block):
        return _compilable(generate, (values, weights, sums), 1)

    return mix


def _compilable(generate: Callable[..., None], kinds: tuple[Any, ...], n_numbers: int) -> Any:
    """Signature and code of a function of float arrays and integers, as Numba asks for them.

    Each array is, for `generate`, where its elements begin and how long a row of it is.
    """
    dtype = kinds[0].dtype
    if dtype not in REAL or any(kind.dtype != dtype or kind.layout != "C" for kind in kinds):
        raise TypingError(f"expected C-contiguous float arrays of one type, got {kinds}")

    def emit(context, builder, signature, arguments):
        arrays = []
        for kind, value in zip(kinds, arguments, strict=False):
            array = context.make_array(kind)(context, builder, value)
            arrays.append((array.data, builder.extract_value(array.shape, kind.ndim - 1)))
        generate(builder, REAL[dtype], arrays, arguments[len(kinds) :])
        return context.get_dummy_value()

    return types.void(*kinds, *(types.intp,) * n_numbers), emit


class _Loop:
    """A loop whose body is emitted inside a `with`: its count, and values carried through it."""

    def __init__(self, builder: ir.IRBuilder, times: Any, values: Sequence[Any]) -> None:
        self.builder, self.times, self.initial = builder, times, values

    def __enter__(self) -> _Loop:
        before = self.builder.block
        self.body = self.builder.append_basic_block("loop")
        self.builder.branch(self.body)
        self.builder.position_at_end(self.body)
        self.count = self.builder.phi(INDEX)
        self.count.add_incoming(INDEX(0), before)
        self.carried = [self.builder.phi(value.type) for value in self.initial]
        for phi, value in zip(self.carried, self.initial, strict=True):
            phi.add_incoming(value, before)
        self.values: list[Any] = list(self.carried)
        return self

    def __exit__(self, *_: object) -> None:
        following = self.builder.add(self.count, INDEX(1))
        again = self.builder.icmp_unsigned("<", following, self.times)
        end, after = self.builder.block, self.builder.append_basic_block("after")
        self.count.add_incoming(following, end)
        for phi, value in zip(self.carried, self.values, strict=True):
            phi.add_incoming(value, end)
        self.builder.cbranch(again, self.body, after)
        self.builder.position_at_end(after)


def _zeros(real: Any, n: int, lanes: int) -> list[Any]:
    """Sums of nothing: -0 + x is x, to the bit."""
    return [ir.VectorType(real, lanes)([real(-0.0)] * lanes)] * n


def _added(
    builder: ir.IRBuilder, sums: list[Any], cells: Any, at: Any, weights: Any, numbers: list[Any]
) -> list[Any]:
    """Sums, each with its weight times the cells from `at` on added."""
    vector = sums[0].type
    place = builder.bitcast(builder.gep(cells, [at]), vector.as_pointer())
    cell = builder.load(place, align=_size(vector))
    added = []
    for total, number in zip(sums, numbers, strict=True):
        weight = _spread(builder, builder.load(builder.gep(weights, [number])), vector)
        added.append(builder.fadd(total, builder.fmul(weight, cell)))
    return added


def _spread(builder: ir.IRBuilder, number: Any, vector: ir.VectorType) -> Any:
    """A vector of one number, many times."""
    places = ir.VectorType(ir.IntType(32), vector.count)
    empty = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(empty, number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, empty, ir.Constant(places, None))


def _store(builder: ir.IRBuilder, totals: list[Any], sums: Any, at: Any, row: Any) -> None:
    for j, total in enumerate(totals):
        place = builder.gep(sums, [builder.add(at, builder.mul(row, INDEX(j)))])
        builder.store(
            total, builder.bitcast(place, total.type.as_pointer()), align=_size(total.type)
        )


def _size(vector: ir.VectorType) -> int:
    """Bytes of one of its numbers."""
    return 8 if vector.element == ir.DoubleType() else 4
