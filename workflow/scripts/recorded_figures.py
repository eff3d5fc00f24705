"""Draw the figures of a result that was recorded on another device."""

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
    parser.add_argument(
        "result", type=Path, help="results/recorded/DEVICE/NAME.json, of speed or a classification"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder for the figures")
    arguments = parser.parse_args()
    result = results.read(arguments.result)
    device, name = arguments.result.parent.name, result["experiment"]
    figures = speed_figures(result) if name == "speed" else bank_figures(result)
    for kind, figure in figures.items():
        plotting.save(figure, arguments.out / f"{name}_{kind}_{device}.pdf")


def speed_figures(result: Mapping[str, Any]) -> dict[str, Figure]:
    """How times grow with samples and grid, and the roofline."""
    complete = "roofline" in result["metrics"]  # older results lack it
    return {
        "scaling": plotting.scaling(scaling_panels(result) if complete else {}),
        "roofline": plotting.roofline(result if complete else None),
    }


def bank_figures(result: Mapping[str, Any]) -> dict[str, Figure]:
    """Accuracy of banks against their number of features and training time."""
    return {"banks": plotting.bank_accuracies(result["metrics"], result["config"])}


if __name__ == "__main__":
    main()
