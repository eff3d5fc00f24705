"""What a reservoir is, on no device."""

from pixelflow.core.config import ReservoirConfig
from pixelflow.core.probes import Probe
from pixelflow.core.rules import get_rule, list_rules, register_rule, rule
from pixelflow.core.trace import clip, exp, log, maximum, minimum, sqrt, tanh, where

__all__ = [
    "Probe",
    "ReservoirConfig",
    "clip",
    "exp",
    "get_rule",
    "list_rules",
    "log",
    "maximum",
    "minimum",
    "register_rule",
    "rule",
    "sqrt",
    "tanh",
    "where",
]
