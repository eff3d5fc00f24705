"""Reads a texture's features where it evolves: rectified and pooled, row by row."""

import numpy as np
from numba import njit

f32, f64 = np.float32, np.float64


@njit(nogil=True, error_model="numpy")
def read(planes, radius, width, probe, line, out):
    """Features (channel, sign, y, x) of padded planes (C, size); `line` has room for a row.

    The probe is its channels, the rows and the columns that each cell of the grid covers, its
    threshold, the least that is read (0 when it rectifies), and whether it pools by the mean.
    A value that is not pooled is a mean of one, and keeps its bits: -0 + x is x.
    """
    channels, rows, cols, level, least, mean = probe
    pitch = width + 2 * radius
    for c in range(len(channels)):
        plane = planes[channels[c]]
        for s in range(out.shape[1]):
            sign = f32(1 - 2 * s)
            for i in range(len(rows)):
                line[:] = f32(-0.0) if mean else f32(-np.inf)
                for y in range(rows[i, 0], rows[i, 1]):
                    cells = plane[(y + radius) * pitch + radius :]
                    for x in range(width):
                        value = sign * cells[x] - level
                        value = least if value <= least else value
                        line[x] = line[x] + value if mean else most(line[x], value)
                row, height = out[c, s, i], rows[i, 1] - rows[i, 0]
                if len(cols) == width:
                    count = f32(height if mean else 1)
                    for x in range(width):
                        row[x] = line[x] / count
                else:
                    for j in range(len(cols)):
                        row[j] = pooled(line, cols[j, 0], cols[j, 1], height, mean)


@njit(nogil=True, error_model="numpy")
def pooled(line, start, stop, height, mean):
    """The mean of `height` rows of which `line` has the sums, or the most of what it has."""
    if not mean:
        found = line[start]
        for x in range(start + 1, stop):
            found = most(found, line[x])
        return found
    total = f64(-0.0)
    for x in range(start, stop):
        total += line[x]
    return total / ((stop - start) * height)  # rounded where it is stored


@njit(nogil=True, error_model="numpy")
def most(a, b):
    """The larger, or what is no number."""
    return b if b > a or b != b else a
