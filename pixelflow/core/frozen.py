"""Mappings that a frozen value can hold."""

from __future__ import annotations

from typing import Any

import numpy as np


class FrozenDict(dict[str, Any]):
    """A dict that stays as it was made, and so do the arrays in it; copied and pickled alike."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for value in self.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("a config is frozen: make another with dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = pop = popitem = clear = _refuse
    update = setdefault = _refuse  # pyright: ignore[reportAssignmentType]
