"""JAX: rolls, and `lax.fori_loop` over the steps, under jit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.experiments._speed.peers.rules import packed, stepper, unpacked
from pixelflow.timing import burst, seconds

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others need memory too


def prepare(job: Job) -> Ready:
    """The loop, compiled; CannotRun without JAX or the device."""
    jax, device = found(job.backend)
    step = stepper(jax.numpy, job.rule, job.params)

    def run(state: Any) -> Any:
        fields = jax.lax.fori_loop(0, job.steps, lambda _, f: step(f), unpacked(state))
        return packed(jax.numpy, fields, state)

    return ready(jax, device, jax.jit(run), job.states, f"JAX {jax.__version__}")


def found(backend: str) -> tuple[Any, Any]:
    """JAX and the device of that kind; CannotRun without it."""
    try:
        import jax  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CannotRun(f"{error}: pip install jax, for a GPU jax[cuda13]") from error
    try:
        return jax, jax.devices("gpu" if backend == "cuda" else "cpu")[0]
    except RuntimeError as error:
        raise CannotRun(f"{str(error).splitlines()[0]}: pip install jax[cuda13]") from error


def ready(
    jax: Any, device: Any, run: Callable[[Any], Any], states: np.ndarray, version: str
) -> Ready:
    """A compiled function and its textures on the device."""
    resident = jax.device_put(states, device)
    jax.block_until_ready(run(resident))
    calls = burst(seconds(lambda: jax.block_until_ready(run(resident))), total_s=0.01, most=50)

    def several() -> None:
        """Calls that are queued one behind the other, so that the queue is never empty."""
        done = None
        for _ in range(calls):
            done = run(resident)
        jax.block_until_ready(done)

    return Ready(
        renderer=f"{device.device_kind}, {version}",
        result=lambda few: np.asarray(run(resident)[:few]),
        times=lambda n: [seconds(several) / calls for _ in range(n)],
    )
