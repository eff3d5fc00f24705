"""Figures of results recorded on another device: how times scale, their roofline, and banks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pixelflow import plotting, results
from pixelflow.experiments.speed import scaling_panels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="a recorded result of speed or a classification")
    parser.add_argument("--out", type=Path, required=True, help="the folder of figures")
    arguments = parser.parse_args()
    result = results.read(arguments.result)
    device, name = arguments.result.parent.name, result["experiment"]
    for what, figure in (of_speed(result) if name == "speed" else of_banks(result)).items():
        plotting.save(figure, arguments.out / f"{name}_{what}_{device}.pdf")


def of_speed(result: Mapping[str, Any]) -> dict[str, Figure]:
    """How times scale, and the roofline."""
    whole = "roofline" in result["metrics"]  # not so before the peers were measured too
    return {
        "scaling": plotting.scaling(scaling_panels(result) if whole else {}),
        "roofline": plotting.roofline(result if whole else None),
    }


def of_banks(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Accuracy of banks against their features and training time."""
    return {"banks": plotting.bank_accuracies(result["metrics"], result["config"])}


if __name__ == "__main__":
    main()
