"""Numba: a rule compiled for the processor, from inputs to features in one pass."""

from pixelflow.backends.numba.run import describe, prepare

__all__ = ["describe", "prepare"]
