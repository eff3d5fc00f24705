"""A probe in a compute shader: from a workgroup's cells to features."""

from __future__ import annotations

from pixelflow.backends.moderngl import glsl
from pixelflow.backends.moderngl.workgroup import Workgroup
from pixelflow.core.probes import Probe


def probe_lines(workgroup: Workgroup) -> list[str]:
    """Lines that store the features of a snapshot."""
    probe, (_, width, channels) = workgroup.plan.probe, workgroup.plan.shape
    if probe.pool:
        return _pooled(workgroup)
    stores = []
    for k in range(workgroup.rows):
        cell = f"own + {k * width}"
        if workgroup.whole_texels:
            values = ", ".join(_value(workgroup, c, k) for c in range(4))
            stores.append(f"features[group * {workgroup.cells} + {cell}] = vec4({values});")
            continue
        for image, (channel, sign) in enumerate(workgroup.images):
            value = glsl.signed(workgroup.plan, _value(workgroup, channel, k), sign)
            place = f"{_first(workgroup, image)} + {cell}"
            if probe == Probe():
                place = f"(group * {workgroup.cells} + {cell}) * {channels} + {channel}"
            stores.append(f"features[{place}] = {value};")
    return ["if (here) {", *(f"    {store}" for store in stores), "}"]


def _value(workgroup: Workgroup, channel: int, row: int) -> str:
    """A cell of the strip, in any channel."""
    if channel in workgroup.channels:
        return f"now{channel}_{row}"
    if channel in workgroup.plan.encoder.encoded_channels:
        return f"encoded(group, own + {row * workgroup.plan.shape[1]}, {channel})"
    return "0.0"


def pool_functions(workgroup: Workgroup) -> str:
    """``pooled0`` and ``pooled1``: a cell of the grid, of x and of -x in shared memory."""
    probe, width = workgroup.plan.probe, workgroup.plan.shape[1]
    text = glsl.rectified_function(workgroup.plan, workgroup.exact)
    for sign in range(1 + probe.rectify) if probe.pool else ():
        value = glsl.signed(workgroup.plan, f"plane[start + y * {width} + x]", sign)
        lines = [f"int j = cell / {probe.pool}, i = cell - j * {probe.pool};"]
        lines += glsl.pooled_lines(workgroup.plan, value)
        lines.append(f"return {glsl.pooled(workgroup.plan)};")
        text += f"float pooled{sign}(int cell, int start) {{\n{glsl.indented(lines)}\n}}\n"
    return text


def _first(workgroup: Workgroup, image: int) -> str:
    """Where an image starts among the features."""
    images = len(workgroup.images)
    place = f"(group * {len(workgroup.plan.times)} + snapshot) * {images} + {image}"
    return f"({place}) * {workgroup.block // images}"


def _pooled(workgroup: Workgroup) -> list[str]:
    """Each channel through shared memory: an invocation reads the cells that it pools."""
    width, grid = workgroup.plan.shape[1], workgroup.plan.probe.pool or 1
    used = len(workgroup.planes) * workgroup.cells
    spare = f"{used} - now" if workgroup.buffers == 2 and workgroup.planes else f"{used}"
    lines = []
    for image, (channel, sign) in enumerate(workgroup.images):
        if channel in workgroup.planes:
            start = f"now + {workgroup.planes.index(channel) * workgroup.cells}"
        else:
            start = spare
            if sign == 0:
                cells = (
                    f"plane[{spare} + own + {k * width}] = {_value(workgroup, channel, k)};"
                    for k in range(workgroup.rows)
                )
                lines += ["barrier();", f"if (here) {{ {' '.join(cells)} }}", "barrier();"]
        lines += [
            f"for (int cell = id; cell < {grid * grid}; cell += {workgroup.size}) {{",
            f"    features[{_first(workgroup, image)} + cell] = pooled{sign}(cell, {start});",
            "}",
        ]
    return [*lines, "barrier();"]
