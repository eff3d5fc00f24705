"""CAX: a system of a perceive and an update module, which CAX scans and compiles."""

from __future__ import annotations

from importlib.metadata import version

from pixelflow.experiments._speed.peers import rules
from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.experiments._speed.peers.with_jax import find_device, make_ready


def prepare(job: Job) -> Ready:
    """Make and compile the system; CannotRun without CAX or the device."""
    jax, device = find_device(job.backend)
    try:
        import cax.core  # pyright: ignore[reportMissingImports]
        from cax.core.perceive import Perceive  # pyright: ignore[reportMissingImports]
        from cax.core.update import Update  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CannotRun(f"{error}: pip install cax") from error
    if job.rule not in rules.UPDATES:
        raise CannotRun(f"of the rules, {', '.join(rules.UPDATES)} are written for it")
    xp = jax.numpy

    class Laplacians(Perceive):
        def __call__(self, state):
            return rules.perceive(xp, job.rule, rules.unpack_fields(state))

    class Step(Update):
        def __call__(self, state, perception, input=None):
            update = rules.UPDATES[job.rule]
            return rules.pack_fields(
                xp, update(xp, rules.unpack_fields(state), perception, job.params), state
            )

    class System(cax.core.ComplexSystem):
        def __init__(self):
            self.perceive, self.update = Laplacians(), Step()

        def _step(self, state, input=None, *, sow=False):
            return self.update(state, self.perceive(state), input)

    system = System()
    versions = f"CAX {version('cax')}, JAX {jax.__version__}"
    return make_ready(jax, device, lambda s: system(s, num_steps=job.steps), job.states, versions)
