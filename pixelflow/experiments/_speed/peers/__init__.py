"""The same rules as a user would write them with JAX, torch.compile, CuPy, CAX or cellpylib."""

from pixelflow.experiments._speed.peers.processes import Peers

__all__ = ["Peers"]
