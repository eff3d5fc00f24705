"""An encoder's local map on a GPU: a matrix product, and a kernel before and after it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import compiled, the_cupy
from pixelflow.core.forms import LIMITS, Form, Local

THREADS = 256
MOST_BLOCKS = 65535  # along a grid's second and third axis
BLOCK_BYTES = 2**30  # of windows and products held at once
SOURCE = Path(__file__).with_name("local.cuh")


def on_device(form: Form, device: int | None) -> Form:
    """The form with its arrays on the current device, which has that number."""
    if isinstance(form, Local):
        values = {f.name: getattr(form, f.name) for f in fields(form)}
        values["window"] = np.ascontiguousarray(form.window.T)
        form = DeviceLocal(**values, device=device)
    return form.moved(the_cupy().asarray)


@dataclass(frozen=True, eq=False)
class DeviceLocal(Local):
    """A local map that passes over its values twice: as products, then squashed into place.

    Attributes
    ----------
    window : int32 array (T, H W)
        Which input values each cell sees.
    device : int or None
        The GPU that has its arrays.
    """

    device: int | None = None

    @property
    def length(self) -> int:
        return self.window.shape[1] * self.kernel.shape[1]

    def __call__(self, X: Any) -> Any:
        members, channels, taps = self.kernel.shape
        cells = self.window.shape[1]
        X = X.reshape(len(X), -1)
        out = the_cupy().empty((len(X), members, cells * channels), np.float32)
        block = max(1, BLOCK_BYTES // (4 * cells * (taps + members * channels)))
        for start in range(0, len(X), block):
            seen = self.windows(X[start : start + block])
            products = self.kernel.reshape(members * channels, taps) @ seen
            self._squash(products, out[start : start + block])
        return out

    def windows(self, X: Any) -> Any:
        taps, cells = self.window.shape
        seen = the_cupy().empty((len(X), taps, cells), np.float32)
        sizes = (len(X), X.shape[1], taps, cells)
        self._run("windows", (X, self.window, seen), sizes, np.float32(self.contrast))
        return seen

    def _squash(self, products: Any, out: Any) -> None:
        """Latent values (n, M, H W C) of products (n, M C, H W)."""
        low, high = (np.float32(limit) for limit in LIMITS[self.squash])
        sizes = (len(out), *self.bias.shape, self.window.shape[1])
        rooted = np.int32(self.squash == "root")
        self._run("squash", (products, self.bias, out), sizes, low, high, rooted)

    def _run(self, name: str, arrays: tuple[Any, ...], sizes: tuple[int, ...], *more: Any) -> None:
        """Launch a kernel over cells, inputs and, for `squash`, members."""
        text = f"constexpr int THREADS = {THREADS};\n{SOURCE.read_text()}"
        kernel = compiled(text, ("-fmad=false",), self.device).get_function(name)
        depth = min(sizes[1], MOST_BLOCKS) if name == "squash" else 1
        grid = (-(-self.window.shape[1] // THREADS), min(sizes[0], MOST_BLOCKS), depth)
        kernel(grid, (THREADS,), (*arrays, *map(np.int32, sizes), *more))
