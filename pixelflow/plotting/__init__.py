"""Figures of the paper and the notebooks; only this package imports Matplotlib."""

from pixelflow.plotting.accuracy import accuracies
from pixelflow.plotting.arrival import arrival_maps, errors
from pixelflow.plotting.banks import bank_accuracies, bank_evolution
from pixelflow.plotting.mistakes import mistakes
from pixelflow.plotting.speed import roofline, scaling
from pixelflow.plotting.style import save
from pixelflow.plotting.textures import animation, evolution, trajectory

__all__ = [
    "accuracies",
    "animation",
    "arrival_maps",
    "bank_accuracies",
    "bank_evolution",
    "errors",
    "evolution",
    "mistakes",
    "roofline",
    "save",
    "scaling",
    "trajectory",
]
