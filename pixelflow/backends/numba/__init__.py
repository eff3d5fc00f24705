"""Numba: a rule compiled for the processor, from inputs to features in one pass."""

from pixelflow.backends.numba.run import batches, describe, features

__all__ = ["batches", "describe", "features"]
