"""GPU texture reservoir computing: a fixed random texture dynamics, read out linearly."""

from importlib import metadata as _metadata

from pixelflow.backends import available_backends
from pixelflow.core import Probe, ReservoirConfig
from pixelflow.models import ReservoirClassifier, ReservoirRegressor
from pixelflow.readouts import LogisticReadout, RidgeReadout
from pixelflow.reservoir import Reservoir

try:
    __version__ = _metadata.version("pixelflow")  # written once, in pyproject.toml
except _metadata.PackageNotFoundError:  # a checkout on the path that is not installed
    __version__ = "0+unknown"

__all__ = [
    "LogisticReadout",
    "Probe",
    "Reservoir",
    "ReservoirClassifier",
    "ReservoirConfig",
    "ReservoirRegressor",
    "RidgeReadout",
    "__version__",
    "available_backends",
]
