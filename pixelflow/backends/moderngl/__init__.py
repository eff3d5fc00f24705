"""OpenGL through moderngl: a rule as shaders, on a GPU or rendered in software."""

from pixelflow.backends.moderngl.context import describe
from pixelflow.backends.moderngl.prepared import prepare

__all__ = ["describe", "prepare"]
