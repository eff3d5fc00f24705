"""Gray-Scott and the wave, written once as a user of an array library would write them.

`xp` is NumPy, CuPy, `jax.numpy` or `torch`: they have these functions in common. A state is
(N, H, W, 4) and periodic. This is a second copy of two rules, on purpose: it is what they are
compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Params = Mapping[str, float]


def laplacian(xp: Any, field: Any) -> Any:
    """The five-point Laplacian of fields (N, H, W)."""
    rows = xp.roll(field, 1, 1) + xp.roll(field, -1, 1)
    return rows + xp.roll(field, 1, 2) + xp.roll(field, -1, 2) - 4 * field


def wave(xp: Any, state: Any, laplacians: list[Any], p: Params) -> Any:
    """One step of the damped wave equation: amplitude in channel 0, velocity in 1."""
    velocity = (state[..., 1] + p["dt"] * p["c"] * p["c"] * laplacians[0]) * p["damping"]
    amplitude = xp.clip(state[..., 0] + p["dt"] * velocity, -1.0, 1.0)
    return xp.stack([amplitude, velocity, state[..., 2], state[..., 3]], -1)


def gray_scott(xp: Any, state: Any, laplacians: list[Any], p: Params) -> Any:
    """One Euler step of the Gray-Scott system: u in channel 0, v in 1."""
    u, v = state[..., 0], state[..., 1]
    uvv = u * v * v
    u_rate = p["du"] * laplacians[0] - uvv + p["feed"] * (1 - u)
    v_rate = p["dv"] * laplacians[1] + uvv - (p["feed"] + p["kill"]) * v
    u, v = xp.clip(u + p["dt"] * u_rate, 0.0, 1.0), xp.clip(v + p["dt"] * v_rate, 0.0, 1.0)
    return xp.stack([u, v, state[..., 2], state[..., 3]], -1)


UPDATES: dict[str, Callable[[Any, Any, list[Any], Params], Any]] = {
    "wave": wave,
    "diffusion_reaction": gray_scott,
}
READ = {"wave": (0,), "diffusion_reaction": (0, 1)}  # the channels whose Laplacian a rule needs


def perceive(xp: Any, rule: str, state: Any) -> list[Any]:
    """The Laplacians that a rule needs."""
    return [laplacian(xp, state[..., channel]) for channel in READ[rule]]


def stepper(xp: Any, rule: str, p: Params) -> Callable[[Any], Any]:
    """One step of the rule, as a function of the state.

    Raises
    ------
    ValueError
        If the rule isn't one of those that are written here.
    """
    if rule not in UPDATES:
        raise ValueError(f"of the rules, {', '.join(UPDATES)} are written for it, not {rule}")
    update = UPDATES[rule]

    def step(state: Any) -> Any:
        return update(xp, state, perceive(xp, rule, state), p)

    return step
