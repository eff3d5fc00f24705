"""The text of a module that runs one rule: what the emitted lines of a rule stand in.

Planes are padded by the rule's radius and flat, so that one loop without branches runs over
a whole texture: its cells between two rows are computed too, and the next halo overwrites them.
Planes lie a multiple of 4096 bytes and a bit apart: at exactly a multiple, a store to one and a
load from the next look like the same address to the processor, and the load waits.
"""

# Room for one texture after the other. It is made in each function that takes steps, because LLVM
# then knows that no two of these arrays overlap.
ROOM = """\
    size = (height + {twice}) * (width + {twice}) + {beyond}
    size += ({spread} - size) % 1024
    planes = np.zeros((2, {channels}, size), real)
    a, b = planes[0], planes[1]
    sums = np.zeros(({n_sums}, size), real)
    line = np.empty(width, real)
"""

TEMPLATE = '''"""One rule for the numba backend, made by pixelflow {made_by} from its graph."""

import numpy as np
from numba import njit

from pixelflow.backends.numba.convolve import convolution, mixture
from pixelflow.backends.numba.probe import read
from pixelflow.backends.numba.select import select
from pixelflow.backends.numba.windows import see

real, u32, u64 = np.{dtype}, np.uint32, np.uint64  # an unsigned index has no sign to be checked
SMALLEST = real({smallest!r})
WRITTEN = {written}  # which channels the rule writes
{convolvers}
mix = mixture({some}, {lanes})


@njit(nogil=True, error_model="numpy", fastmath={fastmath})
def step(a, b, sums, params, media, cells, key, done, height, width):
    pitch = width + {twice}
    first = {radius} * pitch + {radius}
    n = (height - 1) * pitch + width
{convolutions}
{uniform}
{views}
{loops}


@njit(nogil=True)
def halo(plane, height, width, rows, cols):
    high, wide, pitch = u64(height), u64(width), u64(width + {twice})
    zero = cols[0] < 0
{sources}
    at = u64({radius}) * pitch
    for y in range(height):
{columns}
        at += pitch
    at = u64(0)
    for x in range(width + {twice}):
{ends}
        at += u64(1)


@njit(nogil=True)
def load(latents, index, plane, height, width):
    for y in range(height):
        first = (y + {radius}) * (width + {twice}) + {radius}
        for x in range(width):
            source = index[y, x]
            plane[first + x] = latents[source] if source >= 0 else real(0)


@njit(nogil=True)
def encode(seen, kernel, bias, low, high, root, sums, a, height, width):
    for c in range(0, {channels}, {some}):
        for block in range(len(seen)):
            mix(seen, kernel[c : c + {some}], sums, block)
        for j in range({some}):
            for y in range(height):
                first = (y + {radius}) * (width + {twice}) + {radius}
                for x in range(width):
                    value = sums[j, y * width + x] + bias[c + j]
                    value = min(max(value, low), high)
                    a[c + j, first + x] = np.sqrt(value) if root else value


@njit(nogil=True)
def store(a, out, height, width):
{planes}
    flat = out.reshape(height * width * {channels})
    for y in range(height):
        first = (y + {radius}) * (width + {twice}) + {radius}
        start = y * width * {channels}
        for x in range(width):
{interleave}


@njit(nogil=True)
def run(
    given, local, index, encoded, params, media, cells, keys, rows, cols, times, probe, textures,
    features, start, stop,
):
    members, height, width = len(params), index.shape[1], index.shape[2]
{room}    window, contrast, kernel, bias, low, high, root = local
    seen, shown = np.empty((len(window), window.shape[1] * window.shape[2]), real), -1
    for im in range(start, stop):
        i, m = im // members, im % members
        if len(kernel):
            if i != shown:
                see(given[i, 0], window, contrast, seen)
                shown = i
            encode(seen, kernel[m], bias[m], low, high, root, sums, a, height, width)
        else:
            latents = given[i, min(m, given.shape[1] - 1)]
            for c in range({channels}):
                if encoded[c]:
                    load(latents, index[c], a[c], height, width)
                elif WRITTEN[c]:
                    a[c] = real(0)
        for c in range({channels}):
            if encoded[c] and not WRITTEN[c]:
                b[c] = a[c]
        snapshot = 0
        for done in range(times[-1] + 1):
            if done == times[snapshot]:
                if len(textures):
                    store(a, textures[i, m, snapshot], height, width)
                else:
                    read(a, {radius}, width, probe, line, features[i, m, snapshot])
                snapshot += 1
            if done < times[-1]:
{halos}
                step(a, b, sums, params[m], media[m], cells, keys[m], u32(done), height, width)
                a, b = b, a


@njit(nogil=True)
def begin(state, a, b, height, width):
    for c in range({channels}):
        for y in range(height):
            first = (y + {radius}) * (width + {twice}) + {radius}
            for x in range(width):
                a[c, first + x] = state[y, x, c]
        if not WRITTEN[c]:
            b[c] = a[c]


@njit(nogil=True)
def drive_cells(u, channels, columns, weights, a, b, height, width):
    for j in range(len(columns)):
        for i in range(len(channels)):
            plane = a[channels[i]]
            for y in range(height):
                first = (y + {radius}) * (width + {twice}) + {radius}
                for x in range(width):
                    value = plane[first + x] + weights[j, i, y, x] * u[columns[j, i, y, x]]
                    plane[first + x] = select(abs(value) < SMALLEST, real(0), value)
    for i in range(len(channels)):
        if not WRITTEN[channels[i]]:
            b[channels[i]] = a[channels[i]]


@njit(nogil=True)
def advance(
    states, inputs, drive, params, media, cells, keys, rows, cols, first, steps, times, probe,
    textures, features, ended, start, stop,
):
    members, height, width = len(params), states.shape[2], states.shape[3]
{room}    channels, columns, weights = drive
    inputs_each = inputs.shape[1]
    for im in range(start, stop):
        i, m = im // members, im % members
        begin(states[i, m], a, b, height, width)
        for t in range(max(1, inputs_each)):
            if inputs_each:
                drive_cells(inputs[i, t], channels, columns[m], weights[m], a, b, height, width)
            snapshot = 0
            for done in range(steps + 1):
                if inputs_each and snapshot < len(times) and done == times[snapshot]:
                    if len(textures):
                        store(a, textures[i, t, m, snapshot], height, width)
                    else:
                        read(a, {radius}, width, probe, line, features[i, t, m, snapshot])
                    snapshot += 1
                if done < steps:
{driven_halos}
                    number = u32(first + t * steps + done)
                    step(a, b, sums, params[m], media[m], cells, keys[m], number, height, width)
                    a, b = b, a
        store(a, ended[i, m], height, width)


@njit(nogil=True)
def largest_change(a, b, height, width):
    largest = 0.0
    for c in range({channels}):
        for y in range(height):
            first = (y + {radius}) * (width + {twice}) + {radius}
            for x in range(width):
                change = abs(np.float64(a[c, first + x]) - np.float64(b[c, first + x]))
                if change > largest or change != change:
                    largest = change
    return largest


@njit(nogil=True)
def converge(
    states, params, media, cells, keys, rows, cols, tol, every, most, ended, counts, changes,
    start, stop,
):
    members, height, width = len(params), states.shape[2], states.shape[3]
{room}    for im in range(start, stop):
        i, m = im // members, im % members
        begin(states[i, m], a, b, height, width)
        done, change = 0, np.inf
        while done < most:
{checked_halos}
            step(a, b, sums, params[m], media[m], cells, keys[m], u32(done), height, width)
            a, b, done = b, a, done + 1
            if done % every == 0 or done == most:
                change = largest_change(a, b, height, width)
                if not (change > tol and change < np.inf):
                    break
        counts[i, m], changes[i, m] = done, change
        store(a, ended[i, m], height, width)
'''.replace("{room}", ROOM)
