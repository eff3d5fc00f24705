"""GPU texture reservoir computing: a fixed random texture dynamics, read out linearly."""

from pixelflow.backends import available_backends
from pixelflow.core import Probe, ReservoirConfig
from pixelflow.models import ReservoirClassifier, ReservoirRegressor
from pixelflow.readouts import LogisticReadout, RidgeReadout
from pixelflow.reservoir import Reservoir

__all__ = [
    "LogisticReadout",
    "Probe",
    "Reservoir",
    "ReservoirClassifier",
    "ReservoirConfig",
    "ReservoirRegressor",
    "RidgeReadout",
    "available_backends",
]
