"""Reservoir and readout in one estimator: trained in a stream, saved to a file."""

from pixelflow.models.estimators import ReservoirClassifier, ReservoirRegressor

__all__ = ["ReservoirClassifier", "ReservoirRegressor"]
