"""The largest sizes that a config or a rule may ask for, checked before anything is made.

Each is far above what has a use; what exceeds one is a slip, or a file of somebody's that would
fill the memory.
"""

from __future__ import annotations

from math import prod

MOST_VALUES = 2**31 - 1  # of one texture and of one input's features: 32 bits index them
MOST_MADE = 2**33  # values of an array that all members share or have: 32 GiB in float32
MOST_CHANNELS = 2**10  # of a texture: emitted code has lines of its own for each
MOST_MEMBERS = 2**20  # each draws from generators of its own, which take microseconds to start
MOST_STEPS = 2**31 - 1  # 32 bits count them
MOST_SNAPSHOTS = 2**16  # that a probe reads
MOST_POOL = 2**12  # cells along a side of a probe's grid: as many as large textures have rows
MOST_SEED = 2**128 - 1  # what numpy.random.SeedSequence holds without hashing

MOST_NODES = 2**17  # of a rule: compilers take minutes for fewer
MOST_SIZE = 2**10  # a size of a rule is a distance, a window's side or what a loop counts to
MOST_REACH = 2**10  # cells: a texture is held with so many more on each side
MOST_WEIGHTS = 2**18  # of a member: NumPy makes four calls a step for each of a convolution's

MOST_WINDOW = 2**8  # the side of a local encoder's window
MOST_WINDOW_VALUES = 2**13  # of one learned window: the eigenvectors of as many take minutes
MOST_SAMPLES = 2**22  # windows that an encoder learns from
MOST_OFFSET = 2**16  # cells by which the encoder "shifts" moves an image


def check_count(what: str, *lengths: int, most: int = MOST_VALUES) -> None:
    """Refuse an array of more values than `most`, by the lengths of its axes."""
    if prod(lengths) > most:
        shape = " x ".join(map(str, lengths))
        raise ValueError(f"{what} must have at most {most} values, got {shape}")
