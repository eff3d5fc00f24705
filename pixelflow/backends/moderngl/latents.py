"""The form in which a plan's inputs go to the device: bytes, or what the encoder makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pixelflow.core.plan import Plan


@dataclass(frozen=True)
class Latents:
    """What the gather of an encoder reads, of one batch after the other.

    Attributes
    ----------
    as_bytes : bool
        uint8 levels, scaled on the device; otherwise float32.
    own : bool
        Each member has its own.
    length : int
        How many of them an input has, or with `own` a member of it.
    size : int
        How many of them an input has in all.
    """

    plan: Plan
    as_bytes: bool
    own: bool
    length: int
    size: int

    @classmethod
    def of(cls, plan: Plan, inputs: np.ndarray) -> Latents:
        form = plan.encoder.form
        if form is not None:
            own, length, as_bytes = plan.members > 1, form.length, False
        else:
            own = inputs.ndim == 3 and inputs.shape[1] > 1
            length, as_bytes = inputs.shape[-1], inputs.dtype == np.uint8
        return cls(plan, as_bytes, own, length, length * (plan.members if own else 1))

    @property
    def itemsize(self) -> int:
        return 1 if self.as_bytes else 4

    def values(self, inputs: np.ndarray) -> np.ndarray:
        """Those of a batch, C-contiguous."""
        return np.ascontiguousarray(inputs if self.as_bytes else self.plan.encoder.latents(inputs))
