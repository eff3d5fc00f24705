"""OpenGL through moderngl: a rule as shaders, on a GPU or rendered in software."""

from pixelflow.backends.moderngl.context import describe
from pixelflow.backends.moderngl.resident import resident
from pixelflow.backends.moderngl.run import batches, features

__all__ = ["batches", "describe", "features", "resident"]
