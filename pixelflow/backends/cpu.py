"""NumPy, the reference: a rule's graph as ufuncs with preallocated results, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pixelflow.backends.compose import Composed, drive_of, goes_on, largest_change, read
from pixelflow.backends.layout import in_blocks, n_threads, no_device
from pixelflow.backends.planes import Texture
from pixelflow.backends.ufuncs import instructions, static_values
from pixelflow.core.drives import Drive
from pixelflow.core.plan import Plan
from pixelflow.core.probes import Probe

CHUNK_BYTES = 64 * 2**20  # of textures held at once, whatever the number of samples
PLANE_BYTES = 2**20  # of one channel of a block: small for the cache, large for the interpreter


def describe(device: int | None = None) -> str:
    """What it runs on; NumPy is always there."""
    no_device("cpu", device)
    return f"NumPy {np.__version__} on {n_threads()} threads"


class Cpu(Composed):
    """A plan on NumPy; always exact."""

    def features(self, X: np.ndarray, out: np.ndarray) -> None:
        plan = self.plan
        plain = plan.probe == Probe()  # the textures themselves: no copy
        for rows in chunks(plan, len(X)):
            shape = (rows.stop - rows.start, plan.members, len(plan.times), *plan.shape)
            textures = out[rows].reshape(shape) if plain else np.empty(shape, plan.dtype)
            self._trajectories(plan.encoder.latents(X[rows]), textures)
            if not plain:
                out[rows] = plan.probe.read(textures)

    def _trajectories(self, latents: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (n, M, S, H, W, C) with every member's snapshots.

        The latents are (n, M, L), or (n, 1, L) where all members see the same.
        """
        plan = self.plan

        def work(rows: slice, m: int) -> None:
            block = Block(plan, m, rows.stop - rows.start)
            block.encode(latents[rows, min(m, latents.shape[1] - 1)])
            for done in range(plan.times[-1] + 1):
                if done in plan.times:
                    out[rows, m, plan.times.index(done)] = block.textures
                if done < plan.times[-1]:
                    block.step(done)

        self._in_blocks(work, out)

    def advance(self, states: np.ndarray, ended: np.ndarray, first: int, steps: int) -> None:
        def work(rows: slice, m: int) -> None:
            block = Block(self.plan, m, rows.stop - rows.start)
            block.load(states[rows, m])
            for done in range(steps):
                block.step(first + done)
            ended[rows, m] = block.textures

        self._in_blocks(work, ended)

    def run_sequence(
        self,
        states: np.ndarray,
        inputs: np.ndarray,
        ended: np.ndarray,
        out: np.ndarray | None,
        first: int,
    ) -> None:
        plan, drive, steps = self.plan, drive_of(self.plan), self.plan.steps
        by_member = None if out is None else out.reshape(*out.shape[:2], plan.members, -1)

        def work(rows: slice, m: int) -> None:
            n = rows.stop - rows.start
            block, own = Block(plan, m, n), drive.some(slice(m, m + 1))
            block.load(states[rows, m])
            seen = np.empty((n, 1, len(plan.times), *plan.shape), plan.dtype)
            for t in range(inputs.shape[1]):
                block.drive(own, inputs[rows, t])
                for done in range(steps + 1):
                    if by_member is not None and done in plan.times:
                        seen[:, 0, plan.times.index(done)] = block.textures
                    if done < steps:
                        block.step(first + t * steps + done)
                if by_member is not None:
                    by_member[rows, t, m] = read(plan, seen)
            ended[rows, m] = block.textures

        self._in_blocks(work, ended)

    def converge(
        self, states: np.ndarray, ended: np.ndarray, tol: float, every: int, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        counts = np.zeros(states.shape[:2], np.int64)
        changes = np.full(states.shape[:2], np.inf)

        def work(rows: slice, m: int) -> None:
            block, going, done = Block(self.plan, m, rows.stop - rows.start), rows, 0
            block.load(states[rows, m])
            is_open = np.ones(rows.stop - rows.start, bool)
            while done < most and is_open.any():
                block.step(done)
                done += 1
                if done % every and done < most:
                    continue
                change = largest_change(np.moveaxis(block.after.inside, 0, -1), block.textures)
                counts[going, m] = np.where(is_open, done, counts[going, m])
                changes[going, m] = np.where(is_open, change, changes[going, m])
                ended[going, m] = np.where(
                    is_open[:, None, None, None], block.textures, ended[going, m]
                )
                is_open &= goes_on(change, tol)

        ended[...] = states
        self._in_blocks(work, np.empty((len(states), 1)))
        return counts, changes

    def _in_blocks(self, work: Callable[[slice, int], None], out: np.ndarray) -> None:
        """Call ``work(samples, member)`` for blocks of the samples of `out`, on all cores."""
        plan = self.plan
        height, width, _ = plan.shape
        plane = (height + 2 * plan.program.radius) * (width + 2 * plan.program.radius)

        def each(start: int, stop: int) -> None:
            with np.errstate(all="ignore"):  # cells between rows hold nothing that matters
                for m in range(plan.members):
                    work(slice(start, stop), m)

        in_blocks(each, out, max(1, PLANE_BYTES // (plane * plan.dtype.itemsize)))


def chunks(plan: Plan, n_samples: int) -> Iterator[slice]:
    """Slices of the samples whose textures fit into `CHUNK_BYTES`."""
    values = plan.members * len(plan.times) * plan.texture_size
    count = max(1, CHUNK_BYTES // (values * plan.dtype.itemsize))
    for start in range(0, n_samples, count):
        yield slice(start, min(start + count, n_samples))


def prepare(plan: Plan, exact: bool, device: int | None) -> Cpu:
    """See `Backend.prepare`."""
    return Cpu(plan, exact, device)


class Block:
    """Some samples of one member: their textures, and the calls that take them a step further."""

    def __init__(self, plan: Plan, member: int, n: int) -> None:
        self._plan, self._number = plan, np.zeros((), np.uint32)
        self.now, self.after = Texture(plan, n), Texture(plan, n)
        static = static_values(plan, member)
        self._forth = list(instructions(plan, static, self._number, self.now, self.after))
        self._back = list(instructions(plan, static, self._number, self.after, self.now))

    @property
    def textures(self) -> np.ndarray:
        """Those of now, (n, H, W, C)."""
        return np.moveaxis(self.now.inside, 0, -1)

    def encode(self, latents: np.ndarray) -> None:
        """Spread latent values (n, L) over the textures."""
        padded = np.pad(latents, ((0, 0), (0, 1)))  # index -1 takes the zero at the end
        for channel in range(self._plan.shape[2]):
            index = self._plan.encoder.index[..., channel]
            if (index >= 0).any():
                self.now.inside[channel] = padded[:, index]
        self._keep_unwritten(range(self._plan.shape[2]))

    def load(self, states: np.ndarray) -> None:
        """Begin with textures (n, H, W, C)."""
        self.now.inside[...] = np.moveaxis(states, -1, 0)
        self._keep_unwritten(range(self._plan.shape[2]))

    def drive(self, drive: Drive, u: np.ndarray) -> None:
        """Add inputs (n, K), as the drive of this block's member says."""
        drive.add(self.textures[:, None], u)
        self._keep_unwritten(drive.channels)

    def _keep_unwritten(self, channels: Iterable[int]) -> None:
        """What no step writes stands in both textures."""
        written = dict(self._plan.program.outputs)
        for channel in channels:
            if channel not in written:
                self.after.inside[channel] = self.now.inside[channel]

    def step(self, number: int) -> None:
        """Take the step of that number."""
        self._number[...] = number
        self.now.refresh_halo()
        for function, operands in self._forth:
            function(*operands)
        self.now, self.after = self.after, self.now
        self._forth, self._back = self._back, self._forth
