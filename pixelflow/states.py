"""Textures, media and sequences as they come through the reservoir's door, checked once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pixelflow.checks import as_array, brief, check_unmasked, integer, mapping, real_array
from pixelflow.core.config import ReservoirConfig
from pixelflow.core.inputs import checked
from pixelflow.core.limits import MOST_STEPS
from pixelflow.core.rules import get_rule


class SequenceState(NamedTuple):
    """Where a sequence stands, so that `Reservoir.run_sequence` can go on from there.

    Attributes
    ----------
    textures : array (N, H, W, C), with several members (N, M, H, W, C)
        Without the first axis for a sequence that has no batch axis.
    steps : int
        The steps of the rule done so far, from which its clock goes on.
    """

    textures: np.ndarray
    steps: int


def checked_states(states: Any, config: ReservoirConfig, name: str = "states") -> np.ndarray:
    """Finite textures (N, M, H, W, C) of the config's dtype, C-contiguous."""
    shape = (config.members, config.height, config.width, config.channels)
    found = checked(states, config.dtype, name, ensure_2d=False, ensure_min_samples=0)
    accepted = (shape, shape[1:]) if config.members == 1 else (shape,)
    if found.shape[1:] not in accepted:
        expected = ", ".join(map(str, accepted[-1]))
        raise ValueError(f"{name} must have the shape (N, {expected}), got {found.shape}")
    return contiguous(found.reshape(len(found), *shape))


def checked_state(state: Any, config: ReservoirConfig) -> np.ndarray:
    """One finite texture as a batch (1, M, H, W, C); errors show the shape that it should have."""
    check_unmasked("state", state)
    texture = as_array("state", state)
    shape = (config.members, config.height, config.width, config.channels)
    accepted = (shape, shape[1:]) if config.members == 1 else (shape,)
    if texture.shape not in accepted:
        raise ValueError(f"state must have the shape {accepted[-1]}, got {texture.shape}")
    return checked_states(texture[None], config, "state")


def contiguous(array: np.ndarray) -> np.ndarray:
    """That array, or a copy if it is not C-contiguous and writeable.

    Numba would compile its code anew for arrays that are not.
    """
    return np.require(array, requirements=["C", "W"])


def checked_media(
    medium: Any, config: ReservoirConfig, n_samples: int
) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names and numbers of media given for one call, each (N or 1, M or 1, H, W)."""
    known = get_rule(config.rule).medium
    given = mapping("medium", {} if medium is None else medium, known, config.rule)
    cells = (config.height, config.width)
    found = []
    names = tuple(name for name in known if name in given)  # in the rule's order
    for name in names:
        array = real_array(f"medium {name!r}", given[name])
        leading = array.shape[:-2]
        shapes = [(), (config.members,), (n_samples, 1), (n_samples, config.members)]
        if array.shape[-2:] != cells or leading not in shapes:
            expected = ", ".join(str((*shape, *cells)) for shape in dict.fromkeys(shapes))
            raise ValueError(
                f"medium {name!r} must have one of the shapes {expected}, got {array.shape}"
            )
        found.append(array.reshape((1,) * (2 - len(leading)) + array.shape))
    return names, found


def with_media(states: np.ndarray, media: list[np.ndarray]) -> np.ndarray:
    """Textures (N, M, H, W, C + Q) whose last channels are media of the call."""
    if not media:
        return states
    channels = states.shape[-1]
    out = np.empty((*states.shape[:-1], channels + len(media)), states.dtype)
    out[..., :channels] = states
    for i, array in enumerate(media):
        out[..., channels + i] = array
    return out


def checked_sequences(u: Any, config: ReservoirConfig) -> tuple[np.ndarray, bool]:
    """Inputs (N, T, K) of the config's dtype, and whether there was a batch axis."""
    found = checked(u, config.dtype, "u", ensure_2d=False, ensure_min_samples=0)
    if found.ndim not in (2, 3) or not found.shape[-1]:
        raise ValueError(f"u must be (T, K) or (N, T, K), K at least 1, got shape {found.shape}")
    batched = found.ndim == 3
    return contiguous(found if batched else found[None]), batched


def checked_sequence_state(
    state: Any, config: ReservoirConfig, n_samples: int, batched: bool
) -> tuple[np.ndarray, int]:
    """Textures (N, M, H, W, C) to begin with, a copy, and the steps they did; zeros for None."""
    shape = (n_samples, config.members, config.height, config.width, config.channels)
    if state is None:
        return np.zeros(shape, config.dtype), 0
    if not isinstance(state, tuple) or len(state) != 2:
        raise TypeError(
            "state must be what run_sequence returned with return_state=True, a pair of textures "
            f"and steps, got {brief(state)}"
        )
    if batched:
        found = checked_states(state[0], config, "state")
    else:
        found = checked_state(state[0], config)
    if len(found) != n_samples:
        raise ValueError(f"state must be of {n_samples} sequences, as u is, got {len(found)}")
    return found.copy(), integer("state's steps", state[1], 0, MOST_STEPS)


def without_member_axis(textures: np.ndarray, config: ReservoirConfig) -> np.ndarray:
    """Textures (N, M, H, W, C) without the axis of members where there is one."""
    return textures[:, 0] if config.members == 1 else textures
