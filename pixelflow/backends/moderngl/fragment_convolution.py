"""The convolutions of a rule in a fragment shader: every texel is fetched once for all outputs."""

from __future__ import annotations

from pixelflow.backends.moderngl.convolution import Convolution, convolutions, n_texels
from pixelflow.backends.moderngl.fragment import Shaders
from pixelflow.backends.moderngl.glsl import NEGATIVE_ZERO, walk

TYPES = {1: "float", 2: "vec2", 4: "vec4"}  # of one number for each lane


def lines(shaders: Shaders) -> list[str]:
    """Lines that declare ``sumI``, one number for each lane, for every convolution, node I."""
    return [line for each in convolutions(shaders.plan.program) for line in _loop(shaders, each)]


def argument(shaders: Shaders, node: int, lane: int) -> str:
    """A convolution's sum, for one of the samples in a texel."""
    return f"sum{node}" if shaders.lanes == 1 else f"sum{node}.{'xyzw'[lane]}"


def weights(shaders: Shaders) -> str:
    """Where the weights are."""
    if not shaders.weights_as_uniforms:
        return "uniform sampler2D weights;"
    texels = shaders.plan.members * n_texels(shaders.plan.program)
    return f"layout(std140) uniform of_weights {{ vec4 weights[{texels}]; }};"


def _loop(shaders: Shaders, each: Convolution) -> list[str]:
    """One pass for each row and column of the window."""
    height, width, _ = shaders.plan.shape
    first_y, next_y, y = walk("y", each.k // 2, height, shaders.plan.boundary)
    first_x, next_x, x = walk("x", each.k // 2, width, shaders.plan.boundary)
    kind = TYPES[shaders.lanes]
    exact = "precise " if shaders.precise else ""
    start = f"member * {n_texels(shaders.plan.program)} + {each.first}"
    return [
        *(f"{exact}{kind} sum{node} = {kind}({NEGATIVE_ZERO});" for node in each.nodes),
        "{",
        f"    int texel = {start}, to_y = {first_y};",
        f"    for (int dy = 0; dy < {each.k}; dy++) {{",
        f"        int row = {y}, to_x = {first_x};",
        f"        for (int dx = 0; dx < {each.k}; dx++) {{",
        f"            int column = {x};",
        *(f"            {line}" for line in _cell(shaders, each)),
        f"            to_x = {next_x};",
        "        }",
        f"        to_y = {next_y};",
        "    }",
        "}",
    ]


def _cell(shaders: Shaders, each: Convolution) -> list[str]:
    """What one cell of the window adds."""
    height, width, _ = shaders.plan.shape
    kind = TYPES[shaders.lanes]
    exact = "precise " if shaders.precise else ""
    outside = ""
    if shaders.plan.boundary == "zero":
        outside = f"uint(row) >= {height}u || uint(column) >= {width}u ? vec4(0.0) : "
    layers = sorted({shaders.texel(channel, 0)[0] for channel in range(each.channels)})
    cell = "corner + ivec2(column, row)"
    found = [f"vec4 seen{k} = {outside}texelFetch(now{k}, {cell}, 0);" for k in layers]
    weight = "weights[texel++]"
    if not shaders.weights_as_uniforms:
        weight = "texelFetch(weights, table_cell(texel++), 0)"
    for channel in range(each.channels):
        places = [shaders.texel(channel, lane) for lane in range(shaders.lanes)]
        value = f"seen{places[0][0]}.{''.join(component for _, component in places)}"
        found.append(f"vec4 w{channel} = {weight};")
        for i, node in enumerate(each.nodes):
            product = f"p{channel}_{node}"
            found.append(f"{exact}{kind} {product} = {value} * w{channel}.{'xyzw'[i]};")
            found.append(f"sum{node} += {product};")
    return found
