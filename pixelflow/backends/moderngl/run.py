"""Features of inputs, on the path that suits plan and device; of the device's thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from weakref import finalize

import numpy as np

from pixelflow.backends.moderngl import atlas, dispatch
from pixelflow.backends.moderngl.context import GONE, Device
from pixelflow.core.plan import Plan

PATHS = ("compute", "fragment")  # in the order of preference on a GPU


def run(
    device: Device,
    plan: Plan,
    X: np.ndarray,
    out: np.ndarray,
    exact: bool,
    times: tuple[int, ...],
    first: int,
) -> None:
    """Fill `out` with features, read after these times; the first step has that number."""
    by_snapshot = out.reshape(len(out), plan.members, len(times), -1)
    token = plan.keep("moderngl", Token)
    kind = token.number, X.shape[1:], X.dtype.str, exact, PATHS, device.version
    for part, inputs, members in parts(device, plan, X):
        room = 1 << (len(inputs) - 1).bit_length()  # so that smaller batches find it ready
        like = np.broadcast_to(inputs[:1], (room, *inputs.shape[1:]))
        key = (*kind, room, members.start)
        prepared = device.ready(key, partial(path, device, part, like, exact))
        try:
            for start in range(0, len(inputs), prepared.chunk):
                rows = slice(start, start + prepared.chunk)
                prepared.load(inputs[rows])
                prepared.run(times, first)
                prepared.store(by_snapshot[rows, members])
        except BaseException:
            device.forget(key)
            raise


class Token:
    """What tells a plan's keys from another's; when it goes, what ran the plan is released."""

    numbers = count()

    def __init__(self) -> None:
        self.number = next(self.numbers)
        finalize(self, GONE.append, self.number).atexit = False


def path(device: Device, plan: Plan, X: np.ndarray, exact: bool) -> atlas.Atlas | dispatch.Dispatch:
    """What runs a plan here."""
    if computes(device, plan, X):
        return dispatch.Dispatch(device, plan, X, exact)
    return atlas.Atlas(device, plan, X, exact)


def computes(device: Device, plan: Plan, X: np.ndarray) -> bool:
    """Whether a workgroup takes a texture: software renders fragments faster."""
    if "compute" not in PATHS or device.version < 430:
        return False
    if device.software and "fragment" in PATHS:
        return False
    return dispatch.fits(device, plan, X)


def parts(device: Device, plan: Plan, X: np.ndarray) -> Iterator[tuple[Plan, np.ndarray, slice]]:
    """The plan, or where not all members fit at once, plans of some, with their inputs."""
    most = dispatch.most_members if computes(device, plan, X) else atlas.most_members
    count = most(device, plan, X)
    if count >= plan.members:
        yield plan, X, slice(None)
        return
    for start in range(0, plan.members, count):
        some = slice(start, start + count)
        encoder = plan.encoder
        if encoder.form is not None:
            encoder = replace(encoder, form=encoder.form.some(some))
        part = replace(
            plan,
            encoder=encoder,
            params=plan.params[some],
            media=plan.media[some],
            keys=plan.keys[some],
        )
        own = X.ndim == 3 and X.shape[1] > 1
        yield part, np.ascontiguousarray(X[:, some]) if own else X, some
