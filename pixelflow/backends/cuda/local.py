"""An encoder's local map on a GPU, up to its squash: a kernel and one matrix product."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelflow.backends.cuda.device import compiled, the_cupy
from pixelflow.backends.cuda.shapes import MOST_BLOCKS
from pixelflow.core.encoders import PIXEL
from pixelflow.core.forms import Local

THREADS = 256
AT_ONCE = 4  # inputs that a thread does for each number that it reads of the window
ALIGNED = 4  # taps: rows of the matrix are whole vectors
SOURCE = f"constexpr int THREADS = {THREADS}, AT_ONCE = {AT_ONCE};\n" + (
    Path(__file__).with_name("local.cuh").read_text()
)


@dataclass(frozen=True, eq=False)
class Products:
    """K w / d + b of a local map; the plan's kernels squash it as they read it.

    Attributes
    ----------
    window : int32 array (T, H W)
        Which input values each cell sees; -1 is 0.
    weight : float32 array (M C, at least T + 1)
        Kernels, then their bias, then 0.
    channels : int
        C.
    contrast : float
        As `pixelflow.core.forms.Local` has it.
    device : int or None
        The GPU that has its arrays.
    """

    window: Any
    weight: Any
    channels: int
    contrast: float
    device: int | None

    @classmethod
    def of(cls, form: Local, device: int | None) -> Products:
        """Those of a map, with arrays on the current device, which has that number."""
        members, channels, taps = form.kernel.shape
        weight = np.zeros((members * channels, -(-(taps + 1) // ALIGNED) * ALIGNED), np.float32)
        weight[:, :taps] = form.kernel.reshape(-1, taps)
        weight[:, taps] = form.bias.ravel()
        window = the_cupy().asarray(np.ascontiguousarray(form.window.T))
        return cls(window, the_cupy().asarray(weight), channels, form.contrast, device)

    @property
    def size(self) -> int:
        """How many values an input makes, windows and products."""
        return sum(self.weight.shape) * self.window.shape[1]

    def __call__(self, X: Any) -> Any:
        """The products (M, C, n, H W) of inputs (n, D_in), float32 or uint8."""
        seen = self._windows(X * PIXEL if X.dtype == np.uint8 else X)
        products = self.weight @ seen.reshape(len(seen), -1)
        return products.reshape(-1, self.channels, *seen.shape[1:])

    def _windows(self, X: Any) -> Any:
        """What each cell sees of inputs, as the weight's columns have it."""
        (taps, cells), rows = self.window.shape, self.weight.shape[1]
        seen = the_cupy().empty((rows, len(X), cells), np.float32)
        sizes = map(np.int32, (len(X), X.size // len(X), taps, rows, cells))
        grid = (-(-cells // THREADS), min(-(-len(X) // AT_ONCE), MOST_BLOCKS))
        kernel = compiled(SOURCE, ("-fmad=false",), self.device).get_function("windows")
        kernel(grid, (THREADS,), (X, self.window, seen, *sizes, np.float32(self.contrast)))
        return seen
