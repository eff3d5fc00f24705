"""Eikonal: errors of the field's wave protocol against exact arrival times, and their causes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelflow.core import ReservoirConfig
from pixelflow.reservoir import Reservoir
from pixelflow.tasks import eikonal

KEYS = ("threshold", "cases")
CASE_KEYS = {"size", "source", "speed", "steps", "published"}
FIELDS = {
    "constant": eikonal.constant_speed,
    "radial": eikonal.radial_speed,
    "linear": eikonal.linear_speed,
}
BOUNDARIES = {"wave": "periodic", "wave_reflect": "reflect"}
MARCHED = ("fast_marching", "fast_marching_2")  # methods whose times are not rescaled
logger = logging.getLogger(__name__)

Speed = NDArray[np.float32]
Times = NDArray[np.float64]


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Compute each method's error in each case, by the field's measure and against exact times.

    Nothing is random.

    Parameters
    ----------
    config : mapping
        The section `eikonal` of the config, whose schema describes it, and "seed" (not used).

    Returns
    -------
    dict
        "rows", one per case and method of `arrival_times`. Times other than those of fast marching
        are multiplied by "scale". It is fitted as the field does: to first-order fast marching, on
        the "n_cells" with times below the step limit. In a row

        - "error_fast_marching" is the field's measure, over the same cells;
        - "error_analytic" is the mean relative error against exact times, over all cells but the
          source; a cell that was not reached has the step limit as its time;
        - "error_analytic_scaled" is the same with the scale fitted to the exact times;
        - "city_block_share" is the share of cells whose arrival step equals their city-block
          distance, the earliest step that a wave's stencil allows;
        - "courant" is c dt sqrt(2); above 1 the discrete wave equation is unstable.
    """
    _check(config)
    problems = {name: problem(case) for name, case in config["cases"].items()}  # checks all first
    rows = []
    for name, case in config["cases"].items():
        speed, exact = problems[name]
        times = arrival_times(case, speed, config["threshold"])
        rows += [_row(name, case, method, times, speed, exact) for method in times]
    return {"rows": rows}


def problem(case: Mapping[str, Any]) -> tuple[Speed, Times]:
    """The speed (H, W) of one of the config's `cases`, and its exact arrival times."""
    arguments = dict(case["speed"])
    kind = arguments.pop("kind", None)
    if kind not in FIELDS:
        raise ValueError(f"speed.kind must be one of {', '.join(FIELDS)}, got {kind!r}")
    field = FIELDS[kind]
    speed, exact = field((case["size"], case["size"]), tuple(case["source"]), **arguments)
    return speed.astype(np.float32), exact


def arrival_times(case: Mapping[str, Any], speed: Speed, threshold: float) -> dict[str, Times]:
    """Arrival times by each method, without scale.

    `wave` is the field's protocol, and `wave_reflect` is the same with a reflecting boundary.
    `city_block` (along rows and columns, on the periodic grid) and `distance` (straight) use
    neither a rule nor the speed. `fast_marching` is of first order, the field's reference;
    `fast_marching_2` is of second order.
    """
    source, steps = tuple(case["source"]), case["steps"]
    waves = {
        method: wave_times(speed, source, steps, threshold, boundary)
        for method, boundary in BOUNDARIES.items()
    }
    return {
        **waves,
        "city_block": city_block(speed.shape, source, wrapped=True),
        "distance": eikonal.constant_speed(speed.shape, source)[1],
        "fast_marching": eikonal.solve_reference(speed, source),
        "fast_marching_2": _second_order(speed, source),
    }


def wave_times(
    speed: Speed,
    source: tuple[int, int],
    steps: int,
    threshold: float,
    boundary: str = "periodic",
) -> Times:
    """The first step at which each cell's |amplitude| under the rule `wave` exceeds a threshold.

    The field's protocol is: an impulse of 1 at the source, the mean speed as c in all cells, no
    damping, and steps of unit time.

    Parameters
    ----------
    speed : float32 array (H, W)
        In cells per step; only its mean is used.
    source : (row, column)
    steps : int
        Number of steps; also the time of a cell that is not reached.
    threshold : float
    boundary : str

    Returns
    -------
    float64 array (H, W)
    """
    height, width = speed.shape
    parameters = {"c": float(speed.mean()), "damping": 1.0, "dt": 1.0}
    config = ReservoirConfig(
        width=width, height=height, rule="wave", rule_params=parameters, boundary=boundary
    )
    reservoir = Reservoir(config)
    state = np.zeros((height, width, config.channels), np.float32)
    state[(*source, 0)] = 1
    times = np.full(speed.shape, float(steps))
    for t in range(steps):
        times[(np.abs(state[..., 0]) > threshold) & (times == steps)] = t
        state = reservoir.step(state)
    return times


def city_block(shape: tuple[int, ...], source: tuple[int, int], wrapped: bool) -> Times:
    """City-block distance to the source in cells; `wrapped` measures it on the periodic grid."""
    rows, columns = (np.abs(np.arange(n) - at) for n, at in zip(shape, source, strict=True))
    if wrapped:
        rows, columns = np.minimum(rows, shape[0] - rows), np.minimum(columns, shape[1] - columns)
    return (rows[:, None] + columns).astype(np.float64)


def fitted_scale(times: Times, reference: Times, cells: NDArray[np.bool_]) -> float:
    """The factor of `times` that fits a reference best in some cells, by least squares."""
    t, r = times[cells], reference[cells]
    return float(r @ t / (t @ t + 1e-9))


def relative_error(times: Times, exact: Times) -> Times:
    """|times - exact| / exact in every cell; 0 in the source."""
    return np.divide(np.abs(times - exact), exact, out=np.zeros_like(exact), where=exact > 0)


def arrival_maps(config: Mapping[str, Any]) -> dict[str, tuple[Times, Times]]:
    """For each case the exact arrival times, and the scaled ones of the field's wave."""
    maps = {}
    for name, case in config["cases"].items():
        speed, exact = problem(case)
        source, steps = tuple(case["source"]), case["steps"]
        times = wave_times(speed, source, steps, config["threshold"])
        reference = eikonal.solve_reference(speed, source)
        maps[name] = exact, fitted_scale(times, reference, times < steps) * times
    return maps


def _check(config: Mapping[str, Any]) -> None:
    if not 0 < config["threshold"] < 1:  # the impulse itself must be above it
        raise ValueError(f"threshold must be between 0 and 1, got {config['threshold']}")
    for name, case in config["cases"].items():
        if wrong := sorted(CASE_KEYS ^ set(case)):
            raise ValueError(
                f"cases.{name} must have the keys {sorted(CASE_KEYS)}, missing or unknown: {wrong}"
            )
        if case["steps"] < 1:
            raise ValueError(f"cases.{name}.steps must be at least 1, got {case['steps']}")


def _row(
    name: str,
    case: Mapping[str, Any],
    method: str,
    all_times: Mapping[str, Times],
    speed: Speed,
    exact: Times,
) -> dict[str, Any]:
    times, reference = all_times[method], all_times["fast_marching"]
    boundary = BOUNDARIES.get(method)
    marched = method in MARCHED
    cells = np.full(exact.shape, True) if marched else times < case["steps"]
    scale = 1.0 if marched else fitted_scale(times, reference, cells)
    rescaled = None if marched else fitted_scale(times, exact, cells) * times
    fields = np.abs(scale * times - reference) / (reference + 1e-6)  # the field's measure
    blocks = city_block(exact.shape, tuple(case["source"]), wrapped=boundary == "periodic")
    row = {
        "model": f"{name}_{method}",
        "case": name,
        "size": case["size"],
        "source": list(case["source"]),
        "speed": case["speed"]["kind"],
        "steps": case["steps"],
        "method": method,
        "boundary": boundary,
        "error_fast_marching": None if method == "fast_marching" else float(fields[cells].mean()),
        "error_analytic": _mean_error(scale * times, exact),
        "error_analytic_scaled": None if rescaled is None else _mean_error(rescaled, exact),
        "scale": None if marched else scale,
        "n_cells": int(cells.sum()),
        "published": case["published"] if method == "wave" else None,
        "city_block_share": float((times == blocks).mean()) if boundary else None,
        "courant": float(speed.mean() * np.sqrt(2)) if boundary else None,
    }
    logger.info("%(model)s: error %(error_analytic).4f", row)
    return row


def _mean_error(times: Times, exact: Times) -> float:
    """Mean relative error over all cells but the source."""
    return float(relative_error(times, exact)[exact > 0].mean())


def _second_order(speed: Speed, source: tuple[int, int]) -> Times:
    """Second-order fast marching from a circle around the source, half a cell in radius.

    The front needs the time of half a cell to reach the circle. A larger circle would reduce the
    error, but only because more of the solution would be given.
    """
    import skfmm  # pyright: ignore[reportMissingImports]

    distance = eikonal.constant_speed(speed.shape, source)[1]
    times = skfmm.travel_time(distance - 0.5, speed.astype(np.float64), dx=1.0, order=2)
    times = np.asarray(times) + 0.5 / float(speed[source])
    times[source] = 0
    return times
