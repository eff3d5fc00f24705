"""What encoders and drives ask of a config, which itself knows them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Settings(Protocol):
    """The part of a `ReservoirConfig` from which encoders and drives are made."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def members(self) -> int: ...
    @property
    def rule(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def boundary(self) -> str: ...
    @property
    def input_encoding(self) -> str: ...
    @property
    def encoder_options(self) -> dict[str, Any]: ...

    def generator(self, draw: str, member: int) -> np.random.Generator:
        """The random generator of one member for one named draw."""
        ...
