"""torch.compile: a compiled step of rolls, and a loop over the steps.

On a GPU the loop is captured as a CUDA graph and replayed, because for few textures Python's calls
would take longer than the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from pixelflow.experiments._speed.peers.job import CannotRun, Job, Ready
from pixelflow.experiments._speed.peers.rules import pack_fields, stepper, unpack_fields
from pixelflow.timing import seconds


def prepare(job: Job) -> Ready:
    """Compile the loop and warm it up; CannotRun without torch or the GPU."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CannotRun(f"{error}: pip install torch") from error
    if job.backend == "cuda" and not torch.cuda.is_available():
        raise CannotRun("torch sees no GPU: pip install torch with CUDA, and look at nvidia-smi")
    torch._dynamo.reset()  # forgets the shapes of earlier works, else shapes would become dynamic
    step = torch.compile(stepper(torch, job.rule, job.params), dynamic=False)

    def loop(state: Any) -> Any:
        fields = unpack_fields(state)
        for _ in range(job.steps):
            fields = step(fields)
        return pack_fields(torch, fields, state)

    with torch.inference_mode():
        resident = torch.from_numpy(job.states).to(job.backend)
        loop(resident)
        if job.backend == "cpu":
            renderer = f"torch {torch.__version__} on {torch.get_num_threads()} threads"
            return Ready(renderer, *_on_cpu(torch, loop, resident))
        replay, out = _capture_graph(torch, loop, resident)
    return Ready(
        renderer=f"{torch.cuda.get_device_name()}, torch {torch.__version__}",
        result=lambda few: _run_and_fetch(torch, replay, out, few),
        times=_time_by_events(torch, replay),
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


def _capture_graph(
    torch: Any, loop: Callable[[Any], Any], resident: Any
) -> tuple[Callable[[], object], Any]:
    """Capture the loop as a CUDA graph; returns its replay function and its output array."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        loop(resident)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = loop(resident)
    return graph.replay, out


def _run_and_fetch(torch: Any, replay: Callable[[], object], out: Any, few: int) -> np.ndarray:
    replay()
    torch.cuda.synchronize()
    return out[:few].cpu().numpy()


def _time_by_events(torch: Any, replay: Callable[[], object]) -> Callable[[int], list[float]]:
    """Make the function that times n replays by CUDA events."""

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
