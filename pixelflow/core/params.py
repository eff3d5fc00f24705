"""Parameters of estimators that hold configs: scikit-learn's names reach into the config."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from pixelflow.core.config import FIELDS, ReservoirConfig
from pixelflow.core.graph import Program
from pixelflow.core.rules import Rule, get_rule, list_rules, register_rule
from pixelflow.core.symbols import rounded


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
        rules = [get_rule(config.rule) for config in self.configs]
        for rule, config in zip(rules, self.configs, strict=True):
            rule.traced(config.rule_params)  # the function, which could do it, stays behind
        return {**state, "_rules": rules}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({key: value for key, value in state.items() if key != "_rules"})
        for rule, config in zip(state["_rules"], self.configs, strict=True):
            _adopt(rule, config)


def rule_digest(rule: Rule, config: ReservoirConfig) -> str:
    """SHA-256 of all that a config's textures depend on in its rule."""
    given = config.rule_params
    sizes = {name: given[name] for name in rule.sizes if name in given}
    return _digest(rule, frozenset(given), tuple(sizes.items()), config.dtype)


@lru_cache(maxsize=64)
def _digest(
    rule: Rule, given: frozenset[str], sizes: tuple[tuple[str, int], ...], dtype: str
) -> str:
    defaults = {name: float(value) for name, value in rule.params.items() if name not in given}
    program = rounded(rule.traced(dict(sizes)), np.dtype(dtype))
    found = (named(program), defaults, rule.weight_shapes(dict(sizes)))
    return hashlib.sha256(repr(found).encode()).hexdigest()


def named(program: Program) -> Program:
    """A program whose parameters have names for numbers, as digests have always had them."""
    names = program.params
    nodes = (("param", names[n[1]]) if n[0] == "param" else n for n in program.nodes)
    return replace(program, nodes=tuple(nodes))


def warn_of_other_rule(name: str, stacklevel: int) -> None:
    """Warn that the rule of that name is not the one that a saved model had."""
    said = f"rule {name!r} isn't as it was when the model was saved: it may predict otherwise"
    warnings.warn(said, stacklevel=stacklevel + 1)


def _adopt(rule: Rule, config: ReservoirConfig) -> None:
    """Register a pickled rule where no code here defines it; warn where another one is known."""
    here = get_rule(rule.name) if rule.name in list_rules() else None
    if here is None:
        register_rule(rule)
        return
    if here.function is not None:
        if not _same(here, rule, config):
            warn_of_other_rule(rule.name, stacklevel=3)
        return
    here.programs.update({**rule.programs, **here.programs})  # of other sizes, for other configs
    if not _same(here, rule, config):
        said = f"rule {rule.name!r} becomes that of the model loaded now: models loaded before"
        warnings.warn(f"{said} may predict otherwise", stacklevel=3)
        rule.programs.update({**here.programs, **rule.programs})
        register_rule(rule)


def _same(here: Rule, rule: Rule, config: ReservoirConfig) -> bool:
    """Whether a config's textures are the same by both rules."""
    try:
        return rule_digest(here, config) == rule_digest(rule, config)
    except (TypeError, ValueError):  # the rule here has no program of the config's sizes
        return False
