"""OpenGL contexts: one for each GPU and process, each on a thread of its own that alone uses it."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple
from weakref import finalize

from pixelflow.backends.registry import SOFTWARE, forked

if TYPE_CHECKING:
    import moderngl

RENDERED_BY_SOFTWARE = re.compile(r"llvmpipe|softpipe|swrast|swiftshader|software", re.IGNORECASE)
SOFTWARE_PASSES = 2**16 - 1  # of an invocation's loops together: llvmpipe silently ends them
SHARED_MEMORY = "GL_MAX_COMPUTE_SHARED_MEMORY_SIZE"
MOST_PROGRAMS = 256  # kept compiled
MOST_READY = 6  # plans, or parts of one, whose textures and buffers stay on a device
GONE: deque[int] = deque(maxlen=2**16)  # plans that are no more, by their token's number
VERSIONS = 430, 400, 330  # with compute shaders, with `precise`, the least; drivers give no more
MOST_TRIED = 4  # GPUs, where none is named and the first ones refuse
# Commands to paste. The extra `gpu` is not one: PyPI's pixelflow is another package.
PACKAGES = "pip install moderngl glcontext"
LIBRARIES = "apt-get install libegl1 libgl1-mesa-dri # or the GPU maker's driver with its EGL"


class Releasable(Protocol):
    """What OpenGL holds until it is told to let go."""

    def release(self) -> object: ...


Made = TypeVar("Made", bound="Scratch")
Kept = TypeVar("Kept", bound=Releasable)
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class Device:
    """One GPU: its context, the thread that the context belongs to, and what was compiled there."""

    def __init__(self, number: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pixelflow-gl")
        self._programs: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._ready: OrderedDict[tuple[Hashable, ...], Scratch] = OrderedDict()
        self._dropped: deque[Releasable] = deque()  # what nobody uses any more, on whichever thread
        try:
            self.context, self.limits, self.rest = self.submit(_create, number).result()
        except BaseException:
            self._thread.shutdown()
            raise
        self.renderer: str = self.limits["GL_RENDERER"]

    @property
    def software(self) -> bool:
        """Whether a CPU draws."""
        return bool(RENDERED_BY_SOFTWARE.search(self.renderer))

    @property
    def version(self) -> int:
        """OpenGL's version: 330, 400 ..."""
        return self.context.version_code

    @property
    def largest(self) -> int:
        """The largest width and height of a texture."""
        return self.limits["GL_MAX_TEXTURE_SIZE"]

    def submit(self, function: Callable[[*Arguments], Result], *args: *Arguments) -> Future[Result]:
        """Have a function called on the context's thread."""
        return self._thread.submit(function, *args)

    def program(
        self, *, compute: str = "", vertex_shader: str = "", fragment_shader: str = ""
    ) -> Any:
        """A compiled program or compute shader, the same one for the same sources.

        Any, because only its source tells which of its members are uniforms and which blocks.
        """
        key = compute, vertex_shader, fragment_shader
        if key not in self._programs:
            made = self._programs[key] = (
                self.context.compute_shader(compute)
                if compute
                else self.context.program(
                    vertex_shader=vertex_shader, fragment_shader=fragment_shader
                )
            )
            # Its last user may be a run, and may end on another thread, which can't release it.
            finalize(made, self._dropped.append, made.mglo).atexit = False
        self._programs.move_to_end(key)
        while len(self._programs) > MOST_PROGRAMS:
            self._programs.popitem(last=False)
        while self._dropped:
            self._dropped.popleft().release()
        return self._programs[key]

    def ready(self, key: tuple[Hashable, ...], make: Callable[[], Made]) -> Made:
        """What runs a plan, made once while it is among the last few that were asked for."""
        for gone in [k for k in self._ready if k[0] in GONE]:
            self.forget(gone)
        if key not in self._ready:
            while len(self._ready) >= MOST_READY:
                self._ready.popitem(last=False)[1].close()
            self._ready[key] = make()
        self._ready.move_to_end(key)
        _ = self.context.error  # what a run that failed has left
        return self._ready[key]  # pyright: ignore[reportReturnType]

    def forget(self, key: tuple[Hashable, ...]) -> None:
        """Release what runs a plan."""
        if key in self._ready:
            self._ready.pop(key).close()


class Scratch(ExitStack):
    """What runs create on a device, released when it is closed; of the device's thread."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device, self.context = device, device.context
        _ = self.context.error  # what a run that failed has left
        self.callback(device.rest.use)  # moderngl binds again what was bound, gone or not

    def keep(self, made: Kept) -> Kept:
        self.callback(made.release)
        return made

    def check(self) -> None:
        """Raise if OpenGL has failed, as it does silently."""
        error = self.context.error
        if error != "GL_NO_ERROR":
            raise RuntimeError(f"OpenGL on {self.device.renderer} failed: {error}")


_devices: dict[int, Device] = {}
_first: int | None = None  # the GPU that is meant where none is named
_used_by = 0  # the process that made them
_making = threading.RLock()


def _on(device: int | None) -> Device:
    """The GPU of that number; None is always the same, the first that could be had."""
    global _first
    if _devices and _used_by != os.getpid():
        raise forked("moderngl")
    if device is not None:
        return _opened(int(device))
    failure = None
    for number in range(MOST_TRIED) if _first is None else (_first,):
        try:
            found = _opened(number)
            _first = number
            return found
        except RuntimeError as error:  # one of another user's, say
            failure = failure or error
        except ValueError:
            break
    raise failure or RuntimeError(f"backend 'moderngl' found no device: {LIBRARIES}")


def _opened(number: int) -> Device:
    global _used_by
    if number not in _devices:
        _devices[number] = Device(number)
        _used_by = os.getpid()
    return _devices[number]


def call(
    device: int | None, function: Callable[[Device, *Arguments], Result], *args: *Arguments
) -> Result:
    """Call ``function(device, *args)`` on the thread of a GPU, None being the first."""
    with _making:  # so that no fork comes between
        found = _on(device)
        future = found.submit(function, found, *args)
    return future.result()


def describe(device: int | None = None) -> str:
    """The renderer's name, which ends in "(software)" where no GPU draws.

    ImportError or RuntimeError, with the remedy, without OpenGL; ValueError without that GPU.
    """
    with _making:
        found = _on(device)
    return f"{found.renderer} {SOFTWARE}" if found.software else found.renderer


def _create(number: int) -> tuple[moderngl.Context, dict[str, Any], moderngl.Framebuffer]:
    """A context without a window, its limits, and what it draws to between runs.

    By EGL, then by what else the platform offers.
    """
    try:
        import glcontext  # noqa: F401
        import moderngl
    except ImportError as error:
        raise ImportError(f"backend 'moderngl' needs {error.name}: {PACKAGES}") from error
    failures = []
    ways = [{"backend": "egl", "device_index": number}] if sys.platform == "linux" else []
    ways = [*ways, {}] if number == 0 else ways
    for settings, version in ((way, version) for way in ways for version in VERSIONS):
        try:
            context = moderngl.create_context(standalone=True, require=version, **settings)
            limits = {**context.info, SHARED_MEMORY: _shared_memory(context)}
            return context, limits, context.simple_framebuffer((1, 1))
        except Exception as error:  # that is the type that glcontext raises
            _refuse_absent(number, str(error))
            if version == VERSIONS[-1]:
                failures.append(f"{settings.get('backend', 'the platform')}: {error}")
    if not failures:
        raise ValueError(f"device {number}: OpenGL on {sys.platform} offers one, leave it None")
    raise RuntimeError(
        f"backend 'moderngl' found no OpenGL 3.3 ({'; '.join(failures)}): {LIBRARIES}"
    )


def _shared_memory(context: moderngl.Context) -> int:
    """Bytes that a workgroup shares, which moderngl doesn't ask for; at least what all have."""
    found = ctypes.c_int(0)
    load = getattr(getattr(context.mglo, "_context", None), "load", None)
    address = load("glGetIntegerv") if load and context.version_code >= 430 else None
    if address:
        get = ctypes.CFUNCTYPE(None, ctypes.c_uint, ctypes.POINTER(ctypes.c_int))(address)
        get(0x8262, ctypes.byref(found))
    return max(found.value, 2**15)


def _refuse_absent(number: int, message: str) -> None:
    found = re.search(r"requested device index \d+, but found (\d+) devices", message)
    if found and number >= 1:
        raise ValueError(f"there is no GPU {number}: OpenGL finds {found[1]}, counted from 0")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_making.acquire,
        after_in_parent=_making.release,
        after_in_child=_making.release,
    )
