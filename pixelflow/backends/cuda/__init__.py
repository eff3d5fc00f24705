"""CUDA, through CuPy: a plan's rule, encoder and probe compiled into one kernel."""

from pixelflow.backends.cuda.device import describe
from pixelflow.backends.cuda.measure import copy_GBps
from pixelflow.backends.cuda.stream import prepare

__all__ = ["copy_GBps", "describe", "prepare"]
