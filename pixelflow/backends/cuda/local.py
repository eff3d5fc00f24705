"""An encoder's local map on a GPU: a matrix product for many inputs, and a kernel for the rest."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import compiled, the_cupy
from pixelflow.core.forms import LIMITS, Form, Local

THREADS = 256
MOST_ITEMS = 65535  # of a grid's second and third axis
BLOCK_BYTES = 2**30  # of windows and products held at once
SOURCE = Path(__file__).with_name("local.cuh")


def on_device(form: Form, device: int | None) -> Form:
    """The form with its arrays on the current device, which has that number."""
    if isinstance(form, Local):
        values = {f.name: getattr(form, f.name) for f in fields(form)}
        form = DeviceLocal(**values, device=device)
    return form.moved(the_cupy().asarray)


@dataclass(frozen=True, eq=False)
class DeviceLocal(Local):
    """A local map that passes over its values twice: as a product, then squashed into place.

    Attributes
    ----------
    device : int or None
        The GPU that has its arrays.
    """

    device: int | None = None

    def __call__(self, X: Any) -> Any:
        members, channels, taps = self.kernel.shape
        cells = len(self.window)
        out = the_cupy().empty((len(X), members, cells * channels), np.float32)
        block = max(1, BLOCK_BYTES // (4 * cells * (3 * taps + members * channels)))
        for start in range(0, len(X), block):
            seen = self.windows(X[start : start + block], taps=2).reshape(-1, taps)
            product = seen @ self.kernel.reshape(members * channels, taps).T
            self._squash(product, out[start : start + block])
        return out

    def _squash(self, product: Any, out: Any) -> None:
        """Finish values (n H W, M C) into (n, M, H W C)."""
        members, channels = self.bias.shape
        low, high = (np.float32(limit) for limit in LIMITS[self.squash])
        text = f"constexpr int THREADS = {THREADS};\n{SOURCE.read_text()}"
        kernel = compiled(text, ("-fmad=false",), self.device).get_function("squash")
        per_member = len(self.window) * channels
        grid = (-(-per_member // THREADS), min(members, MOST_ITEMS), min(len(out), MOST_ITEMS))
        sizes = (np.int32(n) for n in (len(out), members, len(self.window), channels))
        limits = low, high, np.int32(self.squash == "root")
        kernel(grid, (THREADS,), (product, self.bias, out, *sizes, *limits))
