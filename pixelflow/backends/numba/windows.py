"""What cells see of an input, as the sums of a local map read it: most of the work is a gather."""

import numpy as np
from numba import njit

from pixelflow.backends.jit import kept

f32 = np.float32


@kept
@njit(nogil=True, error_model="numpy")
def see(x, window, contrast, out):
    """Fill `out` (blocks, T lanes): the windows of one input by blocks of cells.

    Parameters
    ----------
    x : float32 array (1 + D_in,)
        The input, and a 0 before it.
    window : int32 array (blocks, T, lanes)
        Which value each cell sees.
    contrast : float32
        As `pixelflow.core.forms.Local` has it; 0 for none.
    """
    blocks, taps, lanes = window.shape
    mean, scale = np.empty(lanes, f32), np.empty(lanes, f32)
    for block in range(blocks):
        seen = out[block].reshape(taps, lanes)
        mean[:], scale[:] = f32(0), f32(0)
        for t in range(taps):
            for i in range(lanes):
                seen[t, i] = x[window[block, t, i]]
                mean[i] += seen[t, i]
        if contrast == 0:
            continue
        mean /= f32(taps)
        for t in range(taps):
            for i in range(lanes):
                scale[i] += (seen[t, i] - mean[i]) * (seen[t, i] - mean[i])
        for i in range(lanes):
            scale[i] = f32(1) / np.sqrt(scale[i] / f32(taps) + contrast * contrast)
        for t in range(taps):
            for i in range(lanes):
                seen[t, i] *= scale[i]
