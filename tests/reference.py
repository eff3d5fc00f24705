"""The specification, run plainly: a rule called with arrays, its neighbours by numpy.pad."""

from types import SimpleNamespace

import numpy as np

from pixelflow.core.rules import Rule, get_rule
from pixelflow.core.trace import noise

PAD = {"periodic": "wrap", "reflect": "symmetric", "zero": "constant"}
SMALLEST = np.float32(1e-30)


class ArrayCell:
    """A rule's `at` over whole arrays (H, W)."""

    def __init__(self, rule: Rule, state, media, boundary: str, key: int, step: int) -> None:
        self.rule, self.state, self.media = rule, state, media
        self.boundary, self.key, self.done, self.draws = boundary, key, step, 0

    def __call__(self, dy, dx, channel):
        plane = self.state[..., self.rule.channels.index(channel)]
        height, width = plane.shape
        reach = max(abs(dy), abs(dx))
        padded = np.pad(plane, reach, mode=PAD[self.boundary])
        return padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]

    def convolve(self, weights):
        reach, total = len(weights) // 2, None
        for (y, x, i), weight in np.ndenumerate(weights):
            product = weight * self(y - reach, x - reach, self.rule.channels[i])
            total = product if total is None else total + product
        return total

    def medium(self, name):
        return self.media[self.rule.medium.index(name)]

    def step(self):
        return self.state.dtype.type(self.done)

    def noise(self):
        height, width = self.state.shape[:2]
        cells = np.arange(height * width, dtype=np.uint32).reshape(height, width)
        self.draws += 1
        found = noise(self.key, self.done, cells, self.draws - 1)
        if self.state.dtype == np.float64:  # the same whole numbers, with a factor of its own
            deviation = np.sqrt((65536.0**2 - 1) / 3)
            found = np.rint(found * deviation) * (1 / deviation)
        return found


def evolve(
    rule: Rule,
    state,
    steps,
    params=None,
    media=(),
    boundary="periodic",
    key=0,
    weights=None,
    first=0,
):
    """One texture (H, W, C) after some steps, straight from the rule's own function.

    Computed in the texture's type; `first` is the number of the first step.
    """
    real = state.dtype.type
    values = {**rule.params, **rule.sizes, **(params or {}), **(weights or {})}
    p = SimpleNamespace(
        **{name: v if name in rule.sizes else real(v) for name, v in values.items()}
    )
    for step in range(first, first + steps):
        with np.errstate(all="ignore"):
            written = rule(ArrayCell(rule, state, media, boundary, key, step), p)
        state = state.copy()
        for name, value in written.items():
            value = np.broadcast_to(real(value), state.shape[:2])
            state[..., rule.channels.index(name)] = flushed(value)
    return state


def flushed(values):
    """+0 for what is nearer to zero than 1e-30."""
    return np.where(np.abs(values) < SMALLEST, values.dtype.type(0), values)


def settle(rule: Rule, state, tol, every, most, **options):
    """One texture at the first check at which no value changed by more than `tol` in a step.

    Returns it, how many steps that took, and the largest change in the last of them.
    """
    for done in range(1, most + 1):
        after = evolve(rule, state, 1, first=done - 1, **options)
        change = float(np.abs(after - state).max())
        state = after
        if (done % every == 0 or done == most) and change <= tol:
            break
    return state, done, change


def injected(config, columns, member=0):
    """What encoder "inject" draws for a member: a mask (H, W, the rule's channels, columns)."""
    rng, options = config.generator("drive", member), config.encoder_options
    cells = (config.height, config.width, len(get_rule(config.rule).channels))
    is_driven = rng.random(cells) < options["density"]
    column = rng.integers(columns, size=cells)
    weight = np.where(is_driven, rng.uniform(-1, 1, cells) * options["scale"], 0)
    return weight[..., None] * (column[..., None] == np.arange(columns))


def driven(state, u, mask, channels):
    """A texture (H, W, C) to which an input u (K,) is added, column after column."""
    state, mask = state.copy(), mask.astype(state.dtype)
    for c in channels:
        for k in range(mask.shape[3]):
            plane, weight = state[..., c], mask[:, :, c, k]
            added = flushed(plane + weight * u[k])
            state[..., c] = np.where(weight != 0, added, plane)
        state[..., c] = flushed(state[..., c])
    return state


def sequence(rule, state, u, steps, times, mask, channels, first=0, **options):
    """Snapshots (T, S, H, W, C) of one texture that inputs u (T, K) drive, and its last state."""
    seen = []
    for t, row in enumerate(u):
        state = driven(state, row, mask, channels)
        after = [state]
        for done in range(steps):
            after.append(evolve(rule, after[-1], 1, first=first + t * steps + done, **options))
        state = after[-1]
        seen.append(np.stack([after[time] for time in times]))
    return np.stack(seen), state


def read(probe, snapshots):
    """Features of a member's snapshots (S, H, W, C), float64, value by value."""
    found, (height, width, n_channels) = [], snapshots.shape[1:]
    rows, columns = (probe.pool, probe.pool) if probe.pool else (height, width)
    for texture in snapshots.astype(np.float64):
        for c in range(n_channels) if probe.channels is None else probe.channels:
            for sign in (1, -1) if probe.rectify else (None,):
                plane = texture[..., c]
                if sign is not None:
                    plane = np.maximum(sign * plane - probe.threshold, 0)
                for y, x in np.ndindex(rows, columns):
                    top, left = y * height // rows, x * width // columns
                    bottom, right = -(-(y + 1) * height // rows), -(-(x + 1) * width // columns)
                    pool = np.max if probe.pool_op == "max" else np.mean
                    found.append(pool(plane[top:bottom, left:right]))
    return np.array(found)


def encoded(config, x):
    """The texture (H, W, C), float64, that an encoder of no learned or random windows makes of x.

    Cell by cell, as the encoders' own lines say it; member 0.
    """
    height, width, channels = shape = config.height, config.width, config.channels
    texture, n = np.zeros(shape), x.size
    flat = x.astype(np.float64).ravel()
    if config.input_encoding == "phase":
        angle = 2 * np.pi * flat.sum() / n
        texture[..., 0], texture[..., 1] = np.sin(angle), np.cos(angle)
    elif config.input_encoding == "project":
        rng = config.generator("encoder", 0)
        weight = rng.standard_normal((n, height * width * channels), np.float32) / np.sqrt(n)
        bias = rng.uniform(-1, 1, height * width * channels)
        texture = np.clip(0.5 + 0.25 * (flat @ weight + bias), 0, 1).reshape(shape)
    else:
        rows = int(np.sqrt(n))
        columns = -(-n // rows)
        centred = config.input_encoding == "image"  # where it is smaller
        top = max(0, (height - rows) // 2) if centred else 0
        left = max(0, (width - columns) // 2) if centred else 0
        for y, x in np.ndindex(height, width):
            row = y - top if centred and rows <= height else y * rows // height
            column = x - left if centred and columns <= width else x * columns // width
            if 0 <= row < rows and 0 <= column < columns and row * columns + column < n:
                texture[y, x, 0] = flat[row * columns + column]
    return texture


def same_bits(a, b) -> bool:
    """Equal arrays down to the sign of zero; any two NaNs are the same."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    kind = np.dtype(f"u{a.dtype.itemsize}")
    numbers, others = (np.ascontiguousarray(x)[~np.isnan(x)].view(kind) for x in (a, b))
    return np.array_equal(np.isnan(a), np.isnan(b)) and np.array_equal(numbers, others)


def noise_key(config, member=0):
    return int(config.generator("noise", member).integers(2**32))


def drawn(config, member=0):
    """The rule's weights of one member, as DESIGN has them: N(0, 1) / sqrt(fan-in)."""
    rule = get_rule(config.rule)
    return {
        name: config.generator(f"weights:{name}", member).standard_normal(shape)
        / np.sqrt(np.prod(shape[1:]))
        for name, shape in rule.weight_shapes(config.rule_params).items()
    }
