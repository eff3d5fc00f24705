"""Every built-in rule, each written once, and the registry that users' own rules join."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from pixelflow.checks import brief, choice, float32, integer, is_integer, number, sequence
from pixelflow.core.graph import Program
from pixelflow.core.limits import MOST_CHANNELS, MOST_SIZE, MOST_WEIGHTS
from pixelflow.core.trace import clip, sqrt, trace, where

_REGISTRY: dict[str, Rule] = {}


@dataclass(frozen=True, eq=False)
class Rule:
    """A local update of one cell, ready for every backend; made by :func:`rule`.

    Called with arrays, a rule is its own NumPy reference: ``rule(at, p)``.
    """

    name: str
    channels: tuple[str, ...]
    params: Mapping[str, float]
    medium: tuple[str, ...]
    tolerance: float
    sizes: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    function: Callable[..., Any] | None = field(default=None, repr=False)
    programs: dict[tuple[int, ...], Program] = field(default_factory=dict, repr=False)

    @property
    def program(self) -> Program:
        """One step, with the sizes' defaults."""
        return self.traced({})

    def traced(self, given: Mapping[str, Any]) -> Program:
        """One step with sizes as given, else their defaults; traced when first asked for."""
        sizes = {name: int(given.get(name, size)) for name, size in self.sizes.items()}
        key = tuple(sizes.values())
        if key not in self.programs:
            if self.function is None:
                raise TypeError(
                    f"rule {self.name!r} came from another process, traced for {list(self.sizes)} "
                    f"of {list(self.programs)}, not of {key}: run the script that defines it"
                )
            self.weight_count(given)  # checked before anything is made of them
            shapes = self.weight_shapes(given)
            try:
                program = trace(
                    self.function, self.channels, self.params, self.medium, sizes, shapes
                )
            except (TypeError, ValueError, IndexError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"rule {self.name!r}: {error}") from error
            self.programs[key] = program
        return self.programs[key]

    def weight_shapes(self, given: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """The shape of each array of weights, with sizes as given, else their defaults."""
        sizes = {**self.sizes, **given}
        return {
            name: tuple(int(sizes[n]) if isinstance(n, str) else int(n) for n in shape)
            for name, shape in self.weights.items()
        }

    def weight_count(self, given: Mapping[str, Any]) -> int:
        """How many numbers the weights are; ValueError if more than `MOST_WEIGHTS`."""
        count = sum(map(prod, self.weight_shapes(given).values()))
        if count > MOST_WEIGHTS:
            raise ValueError(
                f"rule {self.name!r}: weights must have at most {MOST_WEIGHTS} values, "
                f"got {brief(count)}"
            )
        return count

    def __call__(self, at, p):
        if self.function is None:
            raise TypeError(f"rule {self.name!r} came from another process: only its graph is here")
        return self.function(at, p)

    def __getstate__(self) -> dict[str, Any]:
        # A function of a script can't be pickled by name, and the graph is all that runs.
        return {**self.__dict__, "function": None}


def rule(
    name: str,
    channels: Iterable[str],
    params: Mapping[str, float] | None = None,
    medium: Iterable[str] = (),
    tolerance: float = 0.0,
    sizes: Mapping[str, int] | None = None,
    weights: Mapping[str, tuple[int | str, ...]] | None = None,
) -> Callable[[Callable[..., Any]], Rule]:
    """Build and register a rule from a function of one cell (a decorator).

    Parameters
    ----------
    name : str
        The name by which a `ReservoirConfig` asks for it; an existing rule of it is replaced.
    channels : iterable of str
        Names for R, G, B, A ... in order; channels not named or not returned keep their value.
    params : mapping of str to float, optional
        Parameters and their defaults, read as ``p.name``; a rule computes in float32.
    medium : iterable of str
        Names of fixed per-cell coefficients, read as ``at.medium(name)``.
    tolerance : float
        How far backends may differ, relative to the largest value. It is 0, identical bits,
        unless the rule calls / sqrt exp log tanh, whose last bit differs between devices.
    sizes : mapping of str to int, optional
        Whole numbers and their defaults that shape the rule itself, positive and the same for
        all members: ``p.name`` is a Python integer, which a loop may count to.
    weights : mapping of str to tuple, optional
        Shapes, of numbers and names of sizes, of arrays drawn once per member from a normal
        distribution of variance 1 / fan-in, where fan-in is the product of all axes but the
        first. ``p.name[i]`` is a part of one, or a number where it has one axis.

    Returns
    -------
    callable
        Turns ``function(at, p) -> {channel: next value}`` into a registered `Rule`.
        ``at(dy, dx, channel)`` reads the cell at row + dy, column + dx, ``at.medium(name)`` a
        medium, ``at.step()`` the number of steps done, ``at.noise()`` a random number of zero
        mean and unit deviation. ``at.convolve(w)`` sums weights (k, k, channels), k odd, times
        the k x k cells around and their first channels, over rows, columns and channels in order.

    Raises
    ------
    ValueError, TypeError
        At once, when the function is not a rule: a branch on a value, an unknown channel,
        parameter or medium, an inexact operation without a tolerance, or more nodes, weights or
        reach than `pixelflow.core.limits` allows.

    Examples
    --------
    >>> from pixelflow.core import rule
    >>> @rule("blur", channels=("heat",), params={"rate": 0.2})
    ... def blur(at, p):
    ...     around = at(-1, 0, "heat") + at(1, 0, "heat") + at(0, -1, "heat") + at(0, 1, "heat")
    ...     return {"heat": at(0, 0, "heat") + p.rate * (around - 4 * at(0, 0, "heat"))}
    >>> blur.name
    'blur'
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be the rule's name, got {brief(name)}")
    for label, given in (("params", params), ("sizes", sizes), ("weights", weights)):
        if given is not None and not isinstance(given, Mapping):
            got = brief(given)
            raise TypeError(f"rule {name!r}: {label} must be a mapping of names, got {got}")
    channels = sequence(f"rule {name!r}: channels", channels, MOST_CHANNELS)
    medium = sequence(f"rule {name!r}: medium", medium, MOST_CHANNELS)
    params, sizes, weights = dict(params or {}), dict(sizes or {}), dict(weights or {})
    declared = Rule(name, channels, params, medium, tolerance, sizes, weights)
    _check_names(declared)
    _check_numbers(declared)
    _check_shapes(declared)

    def build(function: Callable[..., Any]) -> Rule:
        built = replace(declared, tolerance=float(tolerance), function=function, programs={})
        if not built.program.exact and not tolerance > 0:
            raise ValueError(
                f"rule {name!r} calls / sqrt exp log or tanh, whose last bit differs between "
                f"devices: declare a tolerance, for example tolerance=1e-5"
            )
        return register_rule(built)

    return build


def _check_names(rule: Rule) -> None:
    said = f"rule {rule.name!r}"
    values = (*rule.params, *rule.sizes, *rule.weights)
    for label, names in (("channels", rule.channels), ("params", values), ("medium", rule.medium)):
        if not all(map(_is_name, names)) or len(set(names)) < len(names):
            raise ValueError(f"{said}: {label} must be distinct names, got {brief(names)}")
    if not rule.channels or not rule.name:
        raise ValueError(f"{said}: a rule needs a name and at least one channel")


def _check_numbers(rule: Rule) -> None:
    for key, value in rule.params.items():
        float32(f"rule {rule.name!r}: {key}", value)
    number(f"rule {rule.name!r}: tolerance", rule.tolerance, least=0)


def _check_shapes(rule: Rule) -> None:
    said = f"rule {rule.name!r}"
    for key, size in rule.sizes.items():
        integer(f"{said}: size {key}", size, 1, MOST_SIZE)

    def is_length(length: object) -> bool:
        if isinstance(length, str):
            return length in rule.sizes
        return is_integer(length) and length > 0

    for key, shape in rule.weights.items():
        if not isinstance(shape, tuple | list) or not shape or not all(map(is_length, shape)):
            raise ValueError(
                f"{said}: weights {key} must have a shape of positive integers and sizes "
                f"{list(rule.sizes)}, got {brief(shape)}"
            )


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and not name.startswith("_")


def register_rule(rule: Rule) -> Rule:
    """Register a rule built by code under its name, replacing one that had it; returns it."""
    if not isinstance(rule, Rule):
        raise TypeError(f"register_rule expects what @rule builds, got {type(rule).__name__}")
    _REGISTRY[rule.name] = rule
    return rule


def get_rule(name: str) -> Rule:
    """The registered rule of that name; ValueError names the known ones."""
    return _REGISTRY[choice("rule", name, list_rules())]


def list_rules() -> list[str]:
    """The names of all registered rules, sorted."""
    return sorted(_REGISTRY)


def _laplacian(at, channel):
    """The 5-point Laplacian of one channel."""
    around = at(-1, 0, channel) + at(1, 0, channel) + at(0, -1, channel) + at(0, 1, channel)
    return around - 4 * at(0, 0, channel)


@rule(
    "diffusion_reaction",
    channels=("u", "v"),
    params={"feed": 0.055, "kill": 0.062, "dt": 1.0, "du": 0.16, "dv": 0.08},
)
def diffusion_reaction(at, p):
    """Gray-Scott: u' = du lap(u) - u v^2 + feed (1 - u), v' = dv lap(v) + u v^2 - (feed + kill) v.

    Pearson, Complex patterns in a simple system, Science 261 (1993).
    """
    u, v = at(0, 0, "u"), at(0, 0, "v")
    uvv = u * v * v
    u_rate = p.du * _laplacian(at, "u") - uvv + p.feed * (1 - u)
    v_rate = p.dv * _laplacian(at, "v") + uvv - (p.feed + p.kill) * v
    return {"u": clip(u + p.dt * u_rate, 0, 1), "v": clip(v + p.dt * v_rate, 0, 1)}


@rule("life_like", channels=("alive",), params={"threshold": 0.5, "noise": 0.0})
def life_like(at, p):
    """Conway's Life (B3/S23) on cells at or above a threshold, then noise, held in [0, 1].

    Gardner, Mathematical games, Scientific American 223 (1970).
    """

    def alive(dy, dx):
        return where(at(dy, dx, "alive") >= p.threshold, 1, 0)

    ring = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    first, *others = [alive(dy, dx) for dy, dx in ring]
    neighbours = sum(others, start=first)
    survives = (neighbours == 2) & (alive(0, 0) == 1)
    living = where((neighbours == 3) | survives, 1, 0)
    return {"alive": clip(living + p.noise * at.noise(), 0, 1)}


@rule("wave", channels=("amplitude", "velocity"), params={"c": 0.5, "damping": 0.999, "dt": 1.0})
def wave(at, p):
    """Discrete wave equation: u'' = c^2 lap(u), damped; c in cells a step."""
    u, v = at(0, 0, "amplitude"), at(0, 0, "velocity")
    v = (v + p.dt * p.c * p.c * _laplacian(at, "amplitude")) * p.damping
    return {"amplitude": clip(u + p.dt * v, -1, 1), "velocity": v}


@rule(
    "coupled",
    channels=("r", "g", "b", "a"),
    params={"gain": 1.5, "bias": 0.1, "leak": 1.0},
    sizes={"k": 5},
    weights={"coupling": (4, "k", "k", 4), "offset": (4,)},
)
def coupled(at, p):
    """Random coupling: s' = (1 - leak) s + leak clip(gain K s + bias b), K over k x k cells.

    A leaky echo state network whose units see only their neighbourhood, with a piecewise linear
    activation. Jaeger, The "echo state" approach, GMD Report 148 (2001).
    """
    following = {}
    for i, channel in enumerate(("r", "g", "b", "a")):
        drive = p.gain * at.convolve(p.coupling[i]) + p.bias * p.offset[i]
        following[channel] = (1 - p.leak) * at(0, 0, channel) + p.leak * clip(drive, -1, 1)
    return following


@rule(
    "energy",
    channels=("r", "g", "b", "a"),
    sizes={"reach": 3},
    tolerance=1e-5,
)
def energy(at, p):
    """Energy spreads: each cell becomes the root mean square of 9 cells, `reach` apart.

    What then is pooled is a concave function of the energy around, so that much in one place
    counts less than some in many: the pooled energy of complex cells. Hyvärinen and Hoyer,
    Emergence of phase- and shift-invariant features by decomposition of natural images into
    independent feature subspaces, Neural Computation 12 (2000).
    """
    following = {}
    for channel in ("r", "g", "b", "a"):
        cells = [at(dy * p.reach, dx * p.reach, channel) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        following[channel] = sqrt(sum(s * s for s in cells) * (1 / 9))
    return following
