"""torch.compile: rolls compiled into a step, and a loop over the steps.

On a GPU the loop is captured once as a CUDA graph and replayed, or else Python's calls, not the
kernels, would be timed where textures are few.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.experiments._speed.peers.rules import packed, stepper, unpacked
from pixelflow.timing import seconds


def prepare(job: Job) -> Ready:
    """The loop, compiled and warmed up; CannotRun without torch or the GPU."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CannotRun(f"{error}: pip install torch") from error
    if job.backend == "cuda" and not torch.cuda.is_available():
        raise CannotRun("torch sees no GPU: pip install torch with CUDA, and look at nvidia-smi")
    torch._dynamo.reset()  # no shape of an earlier work, which would make this one's dynamic
    step = torch.compile(stepper(torch, job.rule, job.params), dynamic=False)

    def loop(state: Any) -> Any:
        fields = unpacked(state)
        for _ in range(job.steps):
            fields = step(fields)
        return packed(torch, fields, state)

    with torch.inference_mode():
        resident = torch.from_numpy(job.states).to(job.backend)
        loop(resident)
        if job.backend == "cpu":
            renderer = f"torch {torch.__version__} on {torch.get_num_threads()} threads"
            return Ready(renderer, *_on_cpu(torch, loop, resident))
        replay, out = _captured(torch, loop, resident)
    return Ready(
        renderer=f"{torch.cuda.get_device_name()}, torch {torch.__version__}",
        result=lambda few: _fetched(torch, replay, out, few),
        times=_events(torch, replay),
        clear=torch.cuda.empty_cache,
    )


def _on_cpu(
    torch: Any, loop: Callable[[Any], Any], resident: Any
) -> tuple[Callable[[int], np.ndarray], Callable[[int], list[float]]]:
    def result(few: int) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(loop(resident)[:few])

    def times(n: int) -> list[float]:
        with torch.inference_mode():
            return [seconds(lambda: loop(resident)) for _ in range(n)]

    return result, times


def _captured(
    torch: Any, loop: Callable[[Any], Any], resident: Any
) -> tuple[Callable[[], object], Any]:
    """What runs the loop once more, and where its result then is."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        loop(resident)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = loop(resident)
    return graph.replay, out


def _fetched(torch: Any, replay: Callable[[], object], out: Any, few: int) -> np.ndarray:
    replay()
    torch.cuda.synchronize()
    return out[:few].cpu().numpy()


def _events(torch: Any, replay: Callable[[], object]) -> Callable[[int], list[float]]:
    """Times by the device's own clock."""

    def times(n: int) -> list[float]:
        replay()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(n + 1)]
        marks[0].record()
        for mark in marks[1:]:
            replay()
            mark.record()
        torch.cuda.synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairwise(marks)]

    return times
