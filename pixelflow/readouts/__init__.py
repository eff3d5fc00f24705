"""The trained part: linear readouts."""

from pixelflow.readouts.logistic import LogisticReadout
from pixelflow.readouts.ridge import RidgeReadout

__all__ = ["LogisticReadout", "RidgeReadout"]
