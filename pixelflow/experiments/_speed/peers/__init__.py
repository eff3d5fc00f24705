"""What a user would otherwise write: the same rules in JAX, torch.compile, CuPy, CAX, cellpylib."""

from pixelflow.experiments._speed.peers.processes import Peers

__all__ = ["Peers"]
