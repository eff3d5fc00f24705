"""A rule's graph written as source: one table per language."""

from __future__ import annotations

from collections.abc import Mapping

from pixelflow.core.graph import LEAVES, OPERATIONS, SMALLEST, Program

# What all languages write alike.
OPERATORS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
}

# Numba would compute in float64 and int64 by itself: real and u32 name NumPy's types. Each "if" is
# a branch to it, and it takes a time quadratic in these to compile: `select` is none.
NUMBA = {
    **OPERATORS,
    "const": "real({0!r})",
    "uconst": "u32({0})",
    "abs": "abs({0})",
    "sqrt": "np.sqrt({0})",
    "exp": "np.exp({0})",
    "log": "np.log({0})",
    "tanh": "np.tanh({0})",
    "minimum": "select({1} < {0}, {1}, {0})",
    "maximum": "select({1} > {0}, {1}, {0})",
    "clip": "select({2} < select({1} > {0}, {1}, {0}), {2}, select({1} > {0}, {1}, {0}))",
    "clip_flush": "select({1} < select({0} < SMALLEST, real(0), {0}), {1}, "
    "select({0} < SMALLEST, real(0), {0}))",
    "flush": "select(abs({0}) < SMALLEST, real(0), {0})",
    "where": "select({0}, {1}, {2})",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "not": "not {0}",
    "uadd": "u32({0} + {1})",
    "umul": "u32({0} * {1})",
    "uxor": "u32({0} ^ {1})",
    "ushr": "u32({0} >> {1})",
    "float": "real({0})",
}

# What GLSL and CUDA write alike.
C_LIKE = {
    **OPERATORS,
    "uconst": "{0}u",
    "where": "{0} ? {1} : {2}",
    "and": "{0} && {1}",
    "or": "{0} || {1}",
    "not": "!{0}",
    "uadd": "{0} + {1}",
    "umul": "{0} * {1}",
    "uxor": "{0} ^ {1}",
    "ushr": "{0} >> {1}",
    "float": "float({0})",
}

# Ternaries, because GLSL leaves open what its min, max and clamp do with NaN and -0.
TINY = f"{float(SMALLEST)!r}"
GLSL = {
    **C_LIKE,
    "f": "precise float",
    "b": "precise bool",
    "u": "uint",
    "const": "{0!r}",
    "abs": "abs({0})",
    "sqrt": "sqrt({0})",
    "exp": "exp({0})",
    "log": "log({0})",
    # Drivers make tanh of exponentials, which near 0 leaves few digits: there, its series.
    "tanh": "abs({0}) < 0.1 ? {0} - {0} * {0} * {0} * (0.33333334 - {0} * {0} * (0.13333334 - "
    "{0} * {0} * 0.053968254)) : tanh({0})",
    "minimum": "{1} < {0} ? {1} : {0}",
    "maximum": "{1} > {0} ? {1} : {0}",
    "clip": "{2} < ({1} > {0} ? {1} : {0}) ? {2} : ({1} > {0} ? {1} : {0})",
    "clip_flush": f"{{1}} < ({{0}} < {TINY} ? 0.0 : {{0}}) ? {{1}} "
    f": ({{0}} < {TINY} ? 0.0 : {{0}})",
    "flush": f"abs({{0}}) < {TINY} ? 0.0 : {{0}}",
}
# Before version 400, and where bits need not be the same, the compiler may contract.
GLSL_LOOSE = {**GLSL, "f": "float", "b": "bool"}

# Contraction is off where bits count. Functions of other names than C's stand in cuda/common.cuh.
CUDA = {
    **C_LIKE,
    "f": "const float",
    "b": "const bool",
    "u": "const unsigned",
    "const": "{0!r}f",
    "abs": "fabsf({0})",
    "sqrt": "root({0})",
    "exp": "expf({0})",
    "log": "logf({0})",
    "tanh": "tanhf({0})",
    "minimum": "least({0}, {1})",
    "maximum": "most({0}, {1})",
    "clip": "least(most({0}, {1}), {2})",
    "clip_flush": "least(positive({0}), {1})",
    "flush": "flushed({0})",
}


def statements(
    program: Program, language: Mapping[str, str], leaves: Mapping[int, str]
) -> list[str]:
    """One assignment ``vI = expression`` per node, in order.

    Parameters
    ----------
    program : Program
        The rule.
    language : mapping
        Operation to expression, with the operands as {0}, {1} ...
    leaves : mapping
        What the backend's template calls each leaf that is not a literal, by node number.
    """
    lines = []
    for i, (op, *operands) in enumerate(program.nodes):
        if i in leaves:
            text = leaves[i]
        elif op in LEAVES:
            text = language[op].format(*operands)
        else:
            text = language[op].format(*(f"v{j}" for j in operands))
        lines.append(f"v{i} = {text}")
    return lines


def declared(program: Program, language: Mapping[str, str], leaves: Mapping[int, str]) -> list[str]:
    """`statements` for languages with types, "float v3 = v1 + v2;", one per node.

    The language names the types of numbers, conditions and uint32 under "f", "b" and "u".
    """
    kinds = [LEAVES.get(op) or OPERATIONS[op][-1] for op, *_ in program.nodes]
    lines = statements(program, language, leaves)
    return [f"{language[kind]} {line};" for kind, line in zip(kinds, lines, strict=True)]
