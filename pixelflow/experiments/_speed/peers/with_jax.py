"""JAX: rolls, and `lax.fori_loop` over the steps, under jit."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.experiments._speed.peers.rules import pack_fields, stepper, unpack_fields
from pixelflow.timing import burst, seconds

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # other contenders need memory, too


def prepare(job: Job) -> Ready:
    """Compile the loop; CannotRun without JAX or the device."""
    jax, device = find_device(job.backend)
    step = stepper(jax.numpy, job.rule, job.params)

    def run(state: Any) -> Any:
        fields = jax.lax.fori_loop(0, job.steps, lambda _, f: step(f), unpack_fields(state))
        return pack_fields(jax.numpy, fields, state)

    return make_ready(jax, device, jax.jit(run), job.states, f"JAX {jax.__version__}")


def find_device(backend: str) -> tuple[Any, Any]:
    """Import JAX and find its device for a backend; CannotRun without them."""
    try:
        import jax  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CannotRun(f"{error}: pip install jax, for a GPU jax[cuda13]") from error
    try:
        return jax, jax.devices("gpu" if backend == "cuda" else "cpu")[0]
    except RuntimeError as error:
        raise CannotRun(f"{str(error).splitlines()[0]}: pip install jax[cuda13]") from error


def make_ready(
    jax: Any, device: Any, run: Callable[[Any], Any], states: np.ndarray, version: str
) -> Ready:
    """Put the textures on the device and warm up a compiled function."""
    resident = jax.device_put(states, device)
    jax.block_until_ready(run(resident))
    calls = burst(seconds(lambda: jax.block_until_ready(run(resident))), total_s=0.01, most=50)

    def several() -> None:
        """Enqueue calls without waiting for each, so that the device is never idle."""
        done = None
        for _ in range(calls):
            done = run(resident)
        jax.block_until_ready(done)

    return Ready(
        renderer=f"{device.device_kind}, {version}",
        result=lambda few: np.asarray(run(resident)[:few]),
        times=lambda n: [seconds(several) / calls for _ in range(n)],
    )
