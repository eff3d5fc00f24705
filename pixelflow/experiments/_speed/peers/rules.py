"""Gray-Scott and the wave, written as a user of an array library would write them.

`xp` is NumPy, CuPy, `jax.numpy` or `torch`, which share the functions used here. States
(N, H, W, 4) are periodic. The steps work on the two channels that evolve, as separate arrays,
because all of these libraries are faster so. This second copy of two rules is intended: our
backends are compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Params = Mapping[str, float]
Fields = tuple[Any, Any]  # channels 0 and 1, each (N, H, W)


def laplacian(xp: Any, field: Any) -> Any:
    """The five-point Laplacian of fields (N, H, W)."""
    rows = xp.roll(field, 1, 1) + xp.roll(field, -1, 1)
    return rows + xp.roll(field, 1, 2) + xp.roll(field, -1, 2) - 4 * field


def wave(xp: Any, fields: Fields, laplacians: list[Any], p: Params) -> Fields:
    """One step of the damped wave equation: amplitude and velocity."""
    amplitude, velocity = fields
    velocity = (velocity + p["dt"] * p["c"] * p["c"] * laplacians[0]) * p["damping"]
    return xp.clip(amplitude + p["dt"] * velocity, -1.0, 1.0), velocity


def gray_scott(xp: Any, fields: Fields, laplacians: list[Any], p: Params) -> Fields:
    """One Euler step of the Gray-Scott system: u and v."""
    u, v = fields
    uvv = u * v * v
    u_rate = p["du"] * laplacians[0] - uvv + p["feed"] * (1 - u)
    v_rate = p["dv"] * laplacians[1] + uvv - (p["feed"] + p["kill"]) * v
    return xp.clip(u + p["dt"] * u_rate, 0.0, 1.0), xp.clip(v + p["dt"] * v_rate, 0.0, 1.0)


UPDATES: dict[str, Callable[[Any, Fields, list[Any], Params], Fields]] = {
    "wave": wave,
    "diffusion_reaction": gray_scott,
}
READ = {"wave": (0,), "diffusion_reaction": (0, 1)}  # the fields whose Laplacian a rule needs


def unpack_fields(state: Any) -> Fields:
    """The two fields of a state that evolve."""
    return state[..., 0], state[..., 1]


def pack_fields(xp: Any, fields: Fields, state: Any) -> Any:
    """Make a state of these fields and the other channels of `state`."""
    return xp.stack([*fields, state[..., 2], state[..., 3]], -1)


def perceive(xp: Any, rule: str, fields: Fields) -> list[Any]:
    """The Laplacians that a rule needs."""
    return [laplacian(xp, fields[i]) for i in READ[rule]]


def stepper(xp: Any, rule: str, p: Params) -> Callable[[Fields], Fields]:
    """Make the function from fields to fields that is one step of the rule.

    Raises
    ------
    ValueError
        If the rule is not in `UPDATES`.
    """
    if rule not in UPDATES:
        raise ValueError(f"of the rules, {', '.join(UPDATES)} are written for it, not {rule}")
    update = UPDATES[rule]

    def step(fields: Fields) -> Fields:
        return update(xp, fields, perceive(xp, rule, fields), p)

    return step
