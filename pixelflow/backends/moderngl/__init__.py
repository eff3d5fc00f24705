"""OpenGL through moderngl: a rule as shaders, on a GPU or rendered in software."""

from pixelflow.backends.moderngl.context import describe
from pixelflow.backends.moderngl.resident import resident
from pixelflow.backends.moderngl.run import prepare

__all__ = ["describe", "prepare", "resident"]
