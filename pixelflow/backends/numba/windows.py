"""What cells see of inputs, as the sums of a local map read it: most of the work is a gather."""

import numpy as np
from numba import njit

f32 = np.float32


@njit(cache=True, nogil=True, error_model="numpy")
def see(X, window, contrast, out, start, stop):
    """Fill rows start to stop of `out` (n, blocks, T lanes): windows by blocks of cells.

    Parameters
    ----------
    X : float32 array (n, D_in + 1)
        Inputs, and a 0 behind each.
    window : int32 array (blocks, T, lanes)
        Which value each cell sees.
    contrast : float32
        As `pixelflow.core.forms.Local` has it; 0 for none.
    """
    blocks, taps, lanes = window.shape
    mean, scale = np.empty(lanes, f32), np.empty(lanes, f32)
    for n in range(start, stop):
        for block in range(blocks):
            seen = out[n, block].reshape(taps, lanes)
            mean[:], scale[:] = f32(0), f32(0)
            for t in range(taps):
                for i in range(lanes):
                    seen[t, i] = X[n, window[block, t, i]]
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
