"""Parameters of estimators that hold configs: scikit-learn's names reach into the config."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

from sklearn.base import BaseEstimator, clone

from pixelflow.core.config import FIELDS, ReservoirConfig
from pixelflow.core.rules import get_rule, list_rules, register_rule


class Configured(BaseEstimator):
    """An estimator with a parameter `config`: one config, or several.

    One config's fields are nested parameters, ``config__steps`` and ``config__probe__pool``.
    """

    config: Any

    @property
    def configs(self) -> tuple[ReservoirConfig, ...]:
        """The configs, also where there is only one."""
        several = isinstance(self.config, list | tuple)
        return tuple(self.config) if several else (self.config,)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; with `deep` also those of what they hold, as ``config__steps``."""
        params: dict[str, Any] = {**super().get_params(deep)}
        if deep and isinstance(self.config, ReservoirConfig):
            probe = self.config.probe
            params |= {f"config__{name}": getattr(self.config, name) for name in FIELDS}
            params |= {f"config__probe__{f.name}": getattr(probe, f.name) for f in fields(probe)}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; what is nested in one is replaced in a copy of it."""
        own = self.get_params(deep=False)
        own |= {name: value for name, value in params.items() if "__" not in name}
        nested: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            if "__" in name:
                outer, _, inner = name.partition("__")
                nested.setdefault(outer, {})[inner] = value
        unknown = set(own) - set(self.get_params(deep=False))
        if not unknown:
            checked = type(self)(**own)  # raises before anything is set
            unknown = {name for name in params if name not in {*own, *checked.get_params()}}
        if unknown:
            raise ValueError(f"no such parameters: {sorted(unknown)}; see get_params()")
        for name, inner in nested.items():
            if name == "config":
                own[name] = own[name].with_params(**inner)
            else:
                held: Any = clone(own[name])
                own[name] = held.set_params(**inner)
        for name, value in type(self)(**own).get_params(deep=False).items():
            setattr(self, name, value)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Another process may not have run the script that registers the rules.
        state: Any = super().__getstate__()
        return {**state, "_rules": [get_rule(config.rule) for config in self.configs]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for rule in state["_rules"]:
            if rule.name not in list_rules() or get_rule(rule.name).function is None:
                register_rule(rule)  # nothing here defines it, or it came with an earlier estimator
        super().__setstate__({key: value for key, value in state.items() if key != "_rules"})
