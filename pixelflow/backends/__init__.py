"""Where a plan runs: every backend by its name, and what runs here."""

from pixelflow.backends.registry import available_backends, get_backend

__all__ = ["available_backends", "get_backend"]
