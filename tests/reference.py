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
        return np.float32(self.done)

    def noise(self):
        height, width = self.state.shape[:2]
        cells = np.arange(height * width, dtype=np.uint32).reshape(height, width)
        self.draws += 1
        return noise(self.key, self.done, cells, self.draws - 1)


def evolve(
    rule: Rule, state, steps, params=None, media=(), boundary="periodic", key=0, weights=None
):
    """One texture (H, W, C) after some steps, straight from the rule's own function."""
    values = {**rule.params, **rule.sizes, **(params or {}), **(weights or {})}
    p = SimpleNamespace(
        **{name: v if name in rule.sizes else np.float32(v) for name, v in values.items()}
    )
    for step in range(steps):
        with np.errstate(all="ignore"):
            written = rule(ArrayCell(rule, state, media, boundary, key, step), p)
        state = state.copy()
        for name, value in written.items():
            value = np.broadcast_to(np.float32(value), state.shape[:2])
            tiny = np.abs(value) < SMALLEST
            state[..., rule.channels.index(name)] = np.where(tiny, np.float32(0), value)
    return state


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
    bits = np.array_equal(a.view(np.uint32)[~np.isnan(a)], b.view(np.uint32)[~np.isnan(b)])
    return a.shape == b.shape and np.array_equal(np.isnan(a), np.isnan(b)) and bits


def drawn(config, member=0):
    """The rule's weights of one member, as DESIGN has them: N(0, 1) / sqrt(fan-in)."""
    rule = get_rule(config.rule)
    return {
        name: config.generator(f"weights:{name}", member).standard_normal(shape)
        / np.sqrt(np.prod(shape[1:]))
        for name, shape in rule.weight_shapes(config.rule_params).items()
    }
