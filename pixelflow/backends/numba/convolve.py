"""Convolutions for emitted Numba code: a few sums of many cells at once, all in registers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.imputils import impl_ret_untracked
from numba.extending import intrinsic

FLOAT, INDEX = ir.FloatType(), ir.IntType(64)


def convolution(firsts: tuple[int, ...], k: int, channels: int, lanes: int) -> Any:
    """A function for compiled code that convolves `lanes` neighbouring cells.

    ``convolve(cells, weights, sums, start, to, pitch)`` sums, for each of the numbers `firsts`,
    the k k channels weights from there on times the cells around ``cells[:, start + i]``, and
    writes ``sums[j, to + i]`` for i below `lanes`. Each sum is made over rows, columns and
    channels in this order. Loops stay loops in the machine code, but for the channels: Numba's
    own, over cells, would be written out in full to keep the sums in registers, and then spilled.

    Parameters
    ----------
    firsts : tuple of int
        Numbers of the weights with which each sum begins; a few, so that the sums fit registers.
    k, channels : int
        The window's side, and how many planes it sees.
    lanes : int
        Cells at once; any number that is a power of two, on any processor.
    """

    @intrinsic
    def convolve(typing_context, cells, weights, sums, start, to, pitch):
        signature = types.void(cells, weights, sums, types.intp, types.intp, types.intp)

        def generate(context, builder, signature, arguments):
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
            ]
            plane, sums_row = (
                builder.extract_value(array.shape, 1) for array in (arrays[0], arrays[2])
            )
            start, to, pitch = arguments[3:]
            corner = builder.sub(start, builder.mul(pitch, INDEX(k // 2)))
            corner = builder.sub(corner, INDEX(k // 2))
            cells, weights, sums = (array.data for array in arrays)
            cells = builder.gep(cells, [corner])
            totals = _totals(builder, cells, weights, pitch, plane)
            for j, total in enumerate(totals):
                at = builder.add(to, builder.mul(sums_row, INDEX(j)))
                place = builder.bitcast(builder.gep(sums, [at]), total.type.as_pointer())
                builder.store(total, place, align=4)
            return impl_ret_untracked(context, builder, types.void, context.get_dummy_value())

        return signature, generate

    vector = ir.VectorType(FLOAT, lanes)

    def _totals(builder, cells, weights, pitch, plane):
        """The loops over rows and columns, from the window's corner on; the sums at their end."""
        zeros = [vector([FLOAT(-0.0)] * lanes)] * len(firsts)  # -0 + x is x, to the bit
        with _Loop(builder, k, zeros) as row:
            line = builder.gep(cells, [builder.mul(row.count, pitch)])
            with _Loop(builder, k, row.values) as column:
                tap = builder.add(builder.mul(row.count, INDEX(k)), column.count)
                tap = builder.mul(tap, INDEX(channels))
                first = builder.gep(line, [column.count])
                for c in range(channels):
                    place = builder.gep(first, [builder.mul(plane, INDEX(c))])
                    cell = builder.load(builder.bitcast(place, vector.as_pointer()), align=4)
                    for j, number in enumerate(firsts):
                        at = builder.add(tap, INDEX(number + c))
                        weight = _spread(builder, builder.load(builder.gep(weights, [at])), vector)
                        product = builder.fmul(weight, cell)
                        column.values[j] = builder.fadd(column.values[j], product)
            row.values = column.values
        return row.values

    return convolve


class _Loop:
    """A loop whose body is emitted inside a `with`: its count, and values carried through it."""

    def __init__(self, builder: ir.IRBuilder, times: int, values: list[Any]) -> None:
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
        again = self.builder.icmp_unsigned("<", following, INDEX(self.times))
        end, after = self.builder.block, self.builder.append_basic_block("after")
        self.count.add_incoming(following, end)
        for phi, value in zip(self.carried, self.values, strict=True):
            phi.add_incoming(value, end)
        self.builder.cbranch(again, self.body, after)
        self.builder.position_at_end(after)


def _spread(builder: ir.IRBuilder, number: Any, vector: ir.VectorType) -> Any:
    """A vector of one number, many times."""
    numbers = ir.VectorType(ir.IntType(32), vector.count)
    empty = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(empty, number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, empty, ir.Constant(numbers, None))
